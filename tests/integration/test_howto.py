"""The how-to pages, in the order and the folder in which a newcomer follows them."""

import shutil
from pathlib import Path

import pytest

from starnet_hpc import cli
from tests.pages import run_page


def test_the_how_to_pages_lead_from_files_to_a_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    assert run_page("howto_grid.md", tmp_path) == 2
    assert run_page("howto_instrument.md", tmp_path) == 4
    assert run_page("howto_survey.md", tmp_path) == 8
    for figure in ("grid.png", "instrument.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
    spectra_of_another_continuum_are_refused(capsys)
    monkeypatch.chdir(tmp_path / "run")
    run_page("catalogue.md", tmp_path / "run")


def spectra_of_another_continuum_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Observe the survey once more for members that somebody else has trained, and not as the page says."""
    config, described = "theirs/config.yaml", Path("mine.yaml").read_text()
    Path("sharper.yaml").write_text(described.replace("19800", "29800").replace("name: mine", "name: sharper"))
    for change, what in (
        ("augment.continuum_segment=5", "continuum_segment: 10.0 -> 5.0"),
        ("instrument=sharper.yaml", "resolution"),
    ):
        for kind in ("zarr", "markers"):
            shutil.rmtree(f"theirs/survey.{kind}")
        assert cli.main(["observe", config, "--set", change]) == 0
        capsys.readouterr()
        assert cli.main(["predict", config]) == 1
        said = capsys.readouterr().err
        assert "survey.zarr: its spectra were not made as those that the members were trained on" in said
        assert what in said
