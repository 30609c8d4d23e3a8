"""The newcomer's first command, in miniature: real files, real Dask workers, real DDP processes, real MPI ranks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from starnet_hpc.stores import open_store
from tests.pages import run_page

SECONDS = 240


def run_quickstart(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "starnet_hpc", "quickstart", "--run-dir", str(folder), "--small"]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=os.environ)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("quickstart") / "first"
    done = run_quickstart(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.mark.slow(reason="the only test that runs all stages as a newcomer does")
def test_quickstart_ends_by_naming_a_catalogue_and_a_report_that_are_there(finished: tuple[Path, str]) -> None:
    folder, told = finished
    last = told.strip().splitlines()[-2:]
    assert str(folder / "run" / "catalogue.fits") in last[0]
    assert str(folder / "run" / "report.html") in last[1]
    assert (folder / "run" / "report.html").stat().st_size > 10_000


def test_catalogue_has_a_row_for_every_file_of_the_survey_in_their_order(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    table = fits.getdata(folder / "run" / "catalogue.fits", 1)
    files = sorted(path.stem for path in (folder / "survey").glob("*.fits"))
    assert table["id"].tolist() == files
    for label in ("teff", "logg", "feh", "afe", "vsini", "vrad"):
        total = np.hypot(table[f"{label}_aleatoric"], table[f"{label}_epistemic"])
        assert np.all(np.isfinite(table[label]))
        assert np.all(total > 0)


def test_survey_is_made_of_templates_that_were_held_out(finished: tuple[Path, str]) -> None:
    run = finished[0] / "run"
    trained = set(open_store(run / "train.zarr", made_by="augment").column("template"))
    validated = set(open_store(run / "valid.zarr", made_by="augment").column("template"))
    grid = open_store(run / "grid.zarr", made_by="ingest").column("labels")
    survey = open_store(run / "survey.zarr", made_by="observe")
    seen = {tuple(np.round(grid[row], 3)) for row in trained | validated}
    truth = survey.column("reference")[:, :4]
    # The manifest gives six digits; the nearest template of each star must be one that no network has seen.
    scale = grid.std(axis=0)
    for row in truth:
        nearest = grid[np.argmin((((grid - row) / scale) ** 2).sum(axis=1))]
        assert tuple(np.round(nearest, 3)) not in seen


def test_a_second_quickstart_finds_everything_done(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    run = folder / "run"
    watched = [run / "catalogue.fits", run / "members" / "00" / "best.pt", run / "train.zarr" / "zarr.json"]
    before = [path.stat().st_mtime_ns for path in watched]
    done = run_quickstart(folder)
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_mtime_ns for path in watched] == before
    assert "trained already" in done.stderr


def test_log_files_have_times_and_no_control_characters(finished: tuple[Path, str]) -> None:
    logs = sorted((finished[0] / "run" / "logs").glob("*.log"))
    assert {"ingest", "augment", "ensemble", "observe", "predict", "evaluate"} <= {path.stem for path in logs}
    for path in logs:
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert text[:4].isdigit()  # the year


@pytest.mark.parametrize("page", ["stores.md", "logs.md", "tutorial_laptop.md"])
def test_the_examples_of_the_documentation_do_what_it_says(
    finished: tuple[Path, str], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Last in this file: they change the run.
    monkeypatch.chdir(finished[0])
    assert run_page(page, finished[0]) == (6 if page == "tutorial_laptop.md" else 0)
