"""What a store says of itself to whoever finds it, by doing what it says."""

import re
from pathlib import Path
from typing import Any

import pytest
import zarr

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.ingest import ingest
from starnet_hpc.launch.rundir import claim
from starnet_hpc.observe import observe
from tests.augment.cases import experiment, write_grid
from tests.ingest.cases import experiment as grid_experiment
from tests.ingest.cases import write_grid as write_files
from tests.observe.cases import experiment as survey_experiment
from tests.observe.cases import write_stars


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of each kind."""
    folder = tmp_path_factory.mktemp("readme")
    write_files(folder / "grid")
    ingest(grid_experiment(folder))
    write_stars(folder / "observed", 3)
    observe(survey_experiment(folder))
    config = experiment(folder / "augmented")
    claim(config)
    write_grid(config)
    augment(config)
    for name in SPLITS:
        config.store(name).rename(folder / "run" / f"{name}.zarr")
    return folder / "run"


kinds = pytest.mark.parametrize("name", ["grid", *SPLITS, "survey"])


@kinds
def test_every_array_is_described_and_nothing_else(run_dir: Path, name: str) -> None:
    group = zarr.open_group(run_dir / f"{name}.zarr", mode="r")
    text = str(group.attrs["readme"])
    listed = re.findall(r"^  ([\w/]+): \[", text.partition("Arrays\n")[2].partition("\n\n")[0], re.MULTILINE)
    there = [path for path, member in group.members(max_depth=None) if isinstance(member, zarr.Array)]
    assert sorted(listed) == sorted(there)
    assert "not described" not in text


@kinds
def test_the_lines_that_it_gives_read_it_without_the_package(
    run_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = str(zarr.open_group(run_dir / f"{name}.zarr", mode="r").attrs["readme"])
    (code,) = (paragraph for paragraph in text.split("\n\n") if paragraph.startswith("    import"))
    lines = [line.strip() for line in code.splitlines()]
    assert len(lines) == 3
    found: dict[str, Any] = {}
    monkeypatch.chdir(run_dir)
    exec("\n".join(lines), found)  # noqa: S102 - the test is that these lines work
    assert found["flux"].shape[1] == found["wavelength"].size
    made_by = {"grid": "ingest", "survey": "observe"}.get(name, "augment")
    assert f"`starnet-hpc {made_by} CONFIG`" in text
