"""The example in docs/grids.md is a grid."""

import re
from pathlib import Path

import pytest

from starnet_hpc.grids import reader_for

DOCS = Path(__file__).resolve().parents[2] / "docs" / "grids.md"


def test_the_example_of_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(DOCS), "exec"), {})  # noqa: S102 - our own page
    reader = reader_for("table")
    assert reader.label_names(tmp_path) == ("teff", "logg", "feh")
    templates = [reader.read(source) for source in reader.sources(tmp_path)]
    assert [one.labels["teff"] for one in templates] == [5000.0, 5500.0, 6000.0]
    assert templates[0].wavelength[[0, -1]] == pytest.approx([5000.0, 5099.98])
