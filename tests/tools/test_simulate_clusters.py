"""`tools/simulate_clusters.py` writes stars on an isochrone that `observe` and `evaluate.clusters` can read."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.evaluate.science.membership import read_membership
from starnet_hpc.instruments import load_instrument
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.observations import listing_of, read_observation
from starnet_hpc.stores import open_store
from tests.augment.cases import experiment, write_grid

TOOL = Path(__file__).resolve().parents[2] / "tools" / "simulate_clusters.py"


def isochrone(path: Path) -> Path:
    teff, logg = np.linspace(6600.0, 4100.0, 300), np.linspace(4.6, 0.5, 300)  # beyond the grid's log g of 1
    path.write_text("teff,logg\n" + "".join(f"{x},{y}\n" for x, y in zip(teff, logg, strict=True)))
    return path


def run(config: ExperimentConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = folder.parent / "config.yaml"
    settings.write_text(resolved_yaml(config))
    line = str(isochrone(folder.parent / "line.csv"))
    clusters = [["M 1", line, "-1.2", "0.1", "30", "8"], ["M 2", line, "-0.2", "0", "-20", "5"]]
    chosen = [word for cluster in clusters for word in ("--cluster", *cluster)]
    monkeypatch.setattr(sys, "argv", [TOOL.name, str(settings), str(folder), "--snr", "100", *chosen])
    runpy.run_path(str(TOOL), run_name="__main__")


def test_stars_lie_on_the_isochrone_and_their_spectra_are_those_of_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, templates=400)
    run(config, tmp_path / "sky", monkeypatch)
    with (tmp_path / "sky/manifest.csv").open(encoding="utf-8", newline="") as file:
        stars = list(csv.DictReader(file))
    truth = {name: np.array([float(star[name]) for star in stars]) for name in ("teff", "logg", "feh", "afe", "vrad")}
    np.testing.assert_allclose(truth["teff"], 6600.0 - 2500.0 * (4.6 - truth["logg"]) / 4.1, rtol=1e-4)
    assert truth["logg"].min() > 1.0
    np.testing.assert_array_equal(truth["feh"][8:], -0.2)
    assert 0.03 < truth["feh"][:8].std() < 0.2
    np.testing.assert_allclose(truth["afe"], np.clip(-0.3 * truth["feh"], 0, 0.3), atol=1e-5)
    snr = np.array([float(star["snr"]) for star in stars])
    assert snr.min() == 15.0
    assert snr[:8].max() == snr[8:].max() == 100.0

    settings = yaml.safe_load((tmp_path / "sky/survey.yaml").read_text())
    whole = ExperimentConfig.model_validate({**config.model_dump(mode="json"), **settings})
    assert whole.survey is not None
    assert whole.evaluate.clusters is not None
    listing = listing_of(whole.survey)
    assert len(listing) == 13
    membership = read_membership(whole.evaluate.clusters.members, [star["id"] for star in stars])
    assert membership.listed == {"M 1": 8, "M 2": 5}

    # The brightest star, whose noise is 1 %, beside the nearest template moved and broadened as it was.
    brightest = int(np.argmax(snr))
    seen = read_observation(tmp_path / "sky" / stars[brightest]["path"], "text")
    grid = open_store(config.store("grid"), made_by="ingest")
    reach = np.ptp(grid.labels(), axis=0)
    point = np.array([truth[name][brightest] for name in grid.label_names])
    near = int(np.argmin(np.square((grid.labels() - point) / reach).sum(axis=1)))
    instrument = load_instrument(config.instrument)
    forward = ForwardModel(grid.wavelength, instrument.lower, instrument.upper, instrument.arms)
    vsini = float(stars[brightest]["vsini"])
    moved, still = (
        forward.observe(grid.mapped_rows()[near], vsini=vsini, epsilon=0.6, vrad=kms)
        for kms in (truth["vrad"][brightest], 0.0)
    )
    shape = seen.flux / np.median(seen.flux) / (1.0 - 0.25 * np.sin(np.linspace(0, np.pi, seen.flux.size)))
    left = [np.std(shape / model * np.median(model)) for model in (moved, still)]
    assert left[0] < 0.06
    assert left[1] > 1.5 * left[0]


def test_the_same_stars_come_out_of_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, templates=400)
    for name in ("a", "b"):
        run(config, tmp_path / name, monkeypatch)
    one, other = ((tmp_path / name / "M1-003.txt").read_bytes() for name in ("a", "b"))
    assert one == other
