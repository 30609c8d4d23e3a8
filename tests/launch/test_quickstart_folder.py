"""The quickstart works in a folder of its own and touches nobody else's files."""

from pathlib import Path

import pytest

from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.launch.quickstart import _claim_folder, _configuration, quickstart


def test_a_folder_with_somebody_elses_grid_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    precious = tmp_path / "grid" / "years_of_work.fits"
    precious.parent.mkdir()
    precious.write_text("labour")
    with pytest.raises(StoreMismatchError, match="not of a quickstart; give --run-dir a new folder"):
        quickstart(tmp_path, small=True)
    assert precious.read_text() == "labour"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid"]


def test_a_folder_of_an_earlier_quickstart_is_taken_up(tmp_path: Path) -> None:
    _claim_folder(tmp_path / "new")
    (tmp_path / "new" / "grid").mkdir()
    _claim_folder(tmp_path / "new")


@pytest.mark.parametrize("name", ["my run #1", "with: colon", 'quote"d', "umlaut ä"])
def test_any_name_of_a_folder_reaches_the_configuration(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    _claim_folder(folder)
    config = _configuration(folder, small=True)
    assert config.run_dir == folder / "run"
    assert config.survey is not None
    assert config.survey.manifest == folder / "survey" / "manifest.csv"
