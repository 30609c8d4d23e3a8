"""The paper's instrument and network on real-physics templates and real stars, at reduced size."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

from starnet_hpc.cli import main
from starnet_hpc.networks import load_member
from starnet_hpc.stores import open_store

STARS = {
    "Sun": ("ATLAS.Sun_47000.fits", {"teff": 5771, "e_teff": 1, "logg": 4.438, "feh": 0.03}),
    "epsEri": ("UVES_epsEri-2_47000.fits", {"teff": 5076, "e_teff": 30, "logg": 4.61, "feh": -0.09}),
    "HD201891": ("iraf_UVES_HD201891_47000.fits", {"teff": 5948, "logg": 4.30, "feh": -0.97}),
}
COLUMNS = ("id", "path", "group", "teff", "e_teff", "logg", "feh")


@pytest.fixture(scope="module")
def finished(shared: Path, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of configs/reference_uves.yaml with all sizes cut down."""
    folder = tmp_path_factory.mktemp("uves")
    writer = [sys.executable, str(shared / "tools" / "write_grid_files.py"), "intrigoss", str(folder / "grid")]
    subprocess.run([*writer, "--count", "24"], check=True, timeout=120, capture_output=True)
    manifest = folder / "stars.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, COLUMNS)
        lines.writeheader()
        for name, (path, labels) in STARS.items():
            lines.writerow({"id": name, "path": shared / "data" / "observed" / path, "group": "benchmark", **labels})
    small = {
        "run_dir": folder / "run",
        "grid.path": folder / "grid",
        "augment.n_train": 32,
        "augment.n_valid": 8,
        "augment.n_test": 8,
        "augment.shard_rows": 16,
        "augment.workers": 1,
        "train.epochs": 1,
        "train.batch_size": 16,
        "ensemble.members": 2,
        "ensemble.executor": "debug",
        "cluster.predict_ranks": 1,
        "survey": f"{{manifest: {manifest}, format: ispec, frame: rest}}",
    }
    options = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARNET_GRID", str(folder / "grid"))
        assert main(["run", str(pytestconfig.rootpath / "configs" / "reference_uves.yaml"), *options]) == 0
    return folder / "run"


@pytest.mark.slow(reason="40 million weights and 39,436 pixels: the one test at the paper's full width")
def test_training_spectra_are_normalised_on_the_papers_pixels(finished: Path) -> None:
    store = open_store(finished / "train.zarr", made_by="augment")
    assert store.layout.pixels == 39_436
    assert store.wavelength[[0, -1]] == pytest.approx([4835.01, 5394.987])
    flux = store.read(0, 16).astype(np.float32)
    # Lines pull the median down, most in cool stars, and noise lifts the top; the ninetieth percentile of all of them
    # lies at the continuum.
    assert np.all(np.abs(np.percentile(flux, 90, axis=1) - 1.0) < 0.1)


def test_member_is_the_papers_network(finished: Path) -> None:
    member = load_member(finished / "members" / "00" / "best.pt")
    weights = sum(weight.numel() for weight in member.network.parameters())
    assert weights == pytest.approx(40.4e6, rel=0.005)
    assert member.trained_on.label_names == ["teff", "logg", "feh", "afe", "vsini", "vrad"]


def test_members_differ(finished: Path) -> None:
    first, second = (load_member(finished / "members" / f"{k:02d}" / "best.pt").network for k in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        if a.ndim > 1:
            assert not torch.equal(a, b)


def test_real_stars_get_labels_with_errors_in_both_parts(finished: Path) -> None:
    table = fits.getdata(finished / "catalogue.fits", 1)
    assert table["id"].tolist() == list(STARS)
    for label in ("teff", "logg", "feh", "afe", "vsini", "vrad"):
        assert np.all(table[f"{label}_aleatoric"] > 0)
        assert np.all(table[f"{label}_epistemic"] > 0)
    with (finished / "report" / "benchmarks.csv").open(encoding="utf-8") as file:
        assert "HD201891" in file.read()
