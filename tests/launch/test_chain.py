"""All stages in order; what is done is left alone."""

import itertools
from pathlib import Path

import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import PredictionError
from starnet_hpc.grids import write_intrigoss
from starnet_hpc.launch.chain import predict_in_parallel, run_chain
from starnet_hpc.stores import is_complete
from tests import support
from tests.grids.templates import template

NODES = itertools.product((4800.0, 5400.0, 6000.0), (3.0, 4.5), (-0.5, 0.0), (0.0, 0.3))


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in support.environment().items():
        monkeypatch.setenv(name, value)


def times(config: ExperimentConfig, *, but: tuple[str, ...] = ()) -> dict[str, int]:
    """When each file was last changed; logs and locks are touched by every run."""
    found = {str(path.relative_to(config.run_dir)): path for path in config.run_dir.rglob("*") if path.is_file()}
    return {
        name: path.stat().st_mtime_ns
        for name, path in found.items()
        if not name.startswith(("logs/", *but)) and not name.endswith(".lock")
    }


@pytest.mark.slow(reason="every stage twice, with all figures of the report")
def test_a_second_run_of_all_stages_rewrites_nothing_but_the_report(tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    for teff, logg, feh, afe in NODES:
        write_intrigoss(tmp_path / "grid", template(teff=teff, logg=logg, feh=feh, afe=afe))
    instrument = {"name": "tiny", "arms": [{"start": 5150.0, "step": 0.03, "count": 700}], "resolution": 20_000}
    config = support.experiment(
        tmp_path / "run",
        instrument=instrument,
        augment={"n_train": 64, "n_valid": 16, "n_test": 32, "shard_rows": 32, "workers": 1},
        train={"epochs": 1},
        cluster={"predict_ranks": 1},
    )
    report = run_chain(config, executor="debug")
    assert report.exists()
    assert all(is_complete(config.store(name)) for name in ("grid", "train", "valid", "test"))
    assert len(Table.read(config.catalogue("test"))) == 32
    evaluated = ("report.html", "evaluation", "report")
    before = times(config, but=evaluated)
    assert {"test_catalogue.fits", "members/01/best.pt", "config.yaml"} < set(before)
    run_chain(config, executor="debug")
    assert times(config, but=evaluated) == before


def test_ranks_that_fail_are_named_with_the_command_that_was_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = support.ready_to_predict(tmp_path / "run", survey=16)
    (config.member_dir(1) / "best.pt").unlink()
    words = r"exit code 1; .*mpiexec -n 2 .* -m starnet_hpc\.predict .*config\.yaml$"
    with pytest.raises(PredictionError, match=words):  # the other rank's error is the same, and not told again
        predict_in_parallel(config)
    assert capfd.readouterr().err.count("missing members:") == 1


def test_one_rank_is_this_process(tmp_path: Path) -> None:
    config = support.ready_to_predict(tmp_path / "run", survey=16, cluster={"predict_ranks": 1})
    predict_in_parallel(config)
    assert config.catalogue("survey").exists()


def test_ranks_of_a_launcher_around_this_process_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Inside a Slurm step of two tasks, mpiexec still starts its own two ranks.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("PMI_SIZE", "2")
    config = support.ready_to_predict(tmp_path / "run", survey=16)
    predict_in_parallel(config)
    assert config.catalogue("survey").exists()
