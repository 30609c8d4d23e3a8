"""The how-to pages, in the order and the folder in which a newcomer follows them."""

from pathlib import Path

import pytest

from tests.pages import run_page


def test_the_how_to_pages_lead_from_files_to_a_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    assert run_page("howto_grid.md", tmp_path) == 2
    assert run_page("howto_instrument.md", tmp_path) == 4
    assert run_page("howto_survey.md", tmp_path) == 8
    for figure in ("grid.png", "instrument.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
    monkeypatch.chdir(tmp_path / "run")
    run_page("catalogue.md", tmp_path / "run")
