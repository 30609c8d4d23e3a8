"""A run directory is of one experiment, and says so to whoever else comes."""

from pathlib import Path
from typing import Any

import pytest

from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.errors import ConfigError, StoreDamagedError, StoreMismatchError
from starnet_hpc.launch.rundir import claim
from tests.config.cases import INSTRUMENT, SMALLEST


def experiment(run_dir: Path, **changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**SMALLEST, "instrument": INSTRUMENT, "run_dir": str(run_dir), **changes})


def test_it_is_private_and_keeps_the_resolved_configuration(tmp_path: Path) -> None:
    config = experiment(tmp_path / "deep" / "run")
    claim(config)
    claim(config)
    assert config.run_dir.stat().st_mode & 0o077 == 0
    assert load_config(config.run_dir / "config.yaml") == config


@pytest.mark.parametrize("changes", [{"name": "other"}, {"seed": 5}])
def test_it_refuses_another_experiment_by_name_and_seed(tmp_path: Path, changes: dict[str, Any]) -> None:
    claim(experiment(tmp_path / "run"))
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(
        StoreMismatchError, match=r"belongs to the experiment 'small' with seed 0, not to .* of its own"
    ):
        claim(experiment(tmp_path / "run", **changes))
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["thesis.tex", "config.yaml", "logs"])
def test_a_folder_with_files_of_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StoreMismatchError, match=rf"not of an experiment \({name}\); give the path of a new or empty"):
        claim(experiment(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StoreMismatchError, match="is a file; give the path of a folder"):
        claim(experiment(tmp_path / "run"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "small"}', "\x00"])
def test_a_torn_mark_is_explained(tmp_path: Path, content: str) -> None:
    config = experiment(tmp_path / "run")
    claim(config)
    (config.run_dir / "experiment.json").write_text(content)
    with pytest.raises(StoreDamagedError, match=r"experiment\.json cannot be read .* remove this one file"):
        claim(config)


def test_an_unknown_instrument_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no 'nonesuch'; give one of .*uves_4835_5395"):
        claim(experiment(tmp_path / "run", instrument="nonesuch"))
    assert not (tmp_path / "run").exists()
