"""The example in docs/grids.md is a grid."""

from pathlib import Path

import pytest

from starnet_hpc.grids import reader_for
from tests.pages import run_page


def test_the_example_of_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page("grids.md", tmp_path)
    reader = reader_for("table")
    assert reader.label_names(tmp_path) == ("teff", "logg", "feh")
    templates = [reader.read(source) for source in reader.sources(tmp_path)]
    assert [one.labels["teff"] for one in templates] == [5000.0, 5500.0, 6000.0]
    assert templates[0].wavelength[[0, -1]] == pytest.approx([5000.0, 5099.98])
