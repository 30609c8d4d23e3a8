"""Vacuum wavelengths taken for air are found by the lines, and nothing else is."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.grids import TemplateSpectrum
from starnet_hpc.ingest import ingest
from starnet_hpc.ingest.medium import line_offset, vacuum_warning
from starnet_hpc.kernels.refraction import vacuum_to_air
from starnet_hpc.stores import open_store
from tests.grids.files import air_to_vacuum
from tests.grids.templates import template
from tests.grids.test_table import write
from tests.ingest.cases import experiment, write_grid


@pytest.fixture(scope="module")
def reference(shared: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, labels, flux / continuum of the 150 nodes from 4500 to 6500 K and [Fe/H] = -2 to 0.5."""
    with np.load(shared / "data/reference_grid/ferre_nodes.npz") as data:
        return data["wl"], data["par"], data["norm"] / np.float32(65535)


CHOICES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all": lambda labels: np.arange(0, 150, 10),
    "metal-poor": lambda labels: np.argsort(labels[:, 2])[:16],
    "hot": lambda labels: np.argsort(-labels[:, 0], stable=True)[:16],
    "cool": lambda labels: np.argsort(labels[:, 0], stable=True)[:16],
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("low", "high"), [(4830, 5400), (5140, 5200), (4830, 4950), (5220, 5390)])
def test_real_templates_show_where_their_lines_are(
    reference: tuple[np.ndarray, np.ndarray, np.ndarray], choice: str, low: float, high: float
) -> None:
    wavelength, labels, flux = reference
    part = (wavelength > low) & (wavelength < high)
    for shifted, expected in (
        (wavelength, 0.0),
        (air_to_vacuum(wavelength), 83.0),
        (vacuum_to_air(wavelength), -83.0),
    ):
        templates = [TemplateSpectrum(shifted[part], flux[row][part], {}, "") for row in CHOICES[choice](labels)]
        found = line_offset(templates)
        assert found == pytest.approx(expected, abs=2.0)
        assert (vacuum_warning(found) is None) == (expected == 0.0)


def test_nothing_is_said_without_known_lines() -> None:
    wavelength = np.linspace(6700.0, 6800.0, 5001)
    assert line_offset([TemplateSpectrum(wavelength, np.ones(5001), {}, "")]) is None
    wavelength = np.linspace(5140.0, 5200.0, 5001)
    assert line_offset([TemplateSpectrum(wavelength, np.ones(5001), {}, "")]) is None
    noise = 1.0 + 0.1 * np.random.default_rng(1).random(5001)
    assert vacuum_warning(line_offset([TemplateSpectrum(wavelength, noise, {}, "")])) is None
    assert line_offset([]) is None
    assert vacuum_warning(None) is None


def test_ingest_warns_when_it_makes_the_store_and_whenever_it_is_asked_again(
    reference: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    wavelength, labels, flux = reference
    part = (wavelength > 5130) & (wavelength < 5210)
    arrays = {"wavelength": air_to_vacuum(wavelength[part]), "flux": flux[::9, part]}
    columns = {name: labels[::9, column] for column, name in enumerate(("teff", "logg", "feh"))}
    instrument = {"name": "wide", "arms": [{"start": 5150.0, "step": 0.05, "count": 800}], "resolution": 20_000}
    for medium, warnings in (("air", 2), ("vacuum", 0)):
        folder = tmp_path / medium
        write(folder / "grid", "npz", arrays=arrays, columns=columns, notes={"medium": medium, "unit": "Angstrom"})
        config = experiment(folder, instrument=instrument, grid={"format": "table"})
        for _ in range(2):
            store = open_store(ingest(config), made_by="ingest")
        assert store.attributes["line_offset_kms"] == pytest.approx(83.0 if medium == "air" else 0.0, abs=2)
        log = (config.run_dir / "logs" / "ingest.log").read_text()
        assert log.count("these look like vacuum wavelengths, taken for air") == warnings
        assert len(re.findall(r"grid\.path: known lines are [+-][0-2] km/s from", log)) == 2 - warnings


def test_an_extra_folder_in_vacuum_is_warned_of_by_its_key(
    reference: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    wavelength, labels, flux = reference
    part = (wavelength > 5130) & (wavelength < 5210)
    for name, rows, axis in (
        ("grid", slice(0, 150, 9), wavelength),
        ("rare", slice(1, 150, 9), air_to_vacuum(wavelength)),
    ):
        arrays = {"wavelength": axis[part], "flux": flux[rows, part]}
        columns = {label: labels[rows, column] for column, label in enumerate(("teff", "logg", "feh"))}
        write(tmp_path / name, "npz", arrays=arrays, columns=columns, notes={"medium": "air", "unit": "Angstrom"})
    instrument = {"name": "wide", "arms": [{"start": 5150.0, "step": 0.05, "count": 800}], "resolution": 20_000}
    extra = {"format": "table", "path": str(tmp_path / "rare")}
    config = experiment(tmp_path, instrument=instrument, grid={"format": "table", "extra": [extra]})
    for _ in range(2):
        store = open_store(ingest(config), made_by="ingest")
    assert store.attributes["line_offset_kms"] == pytest.approx(0.0, abs=2)
    assert store.attributes["extra_line_offsets_kms"] == pytest.approx([83.0], abs=2)
    log = (config.run_dir / "logs" / "ingest.log").read_text()
    assert log.count("grid.extra[0].path: strong lines lie +8") == log.count("strong lines lie") == 2


def test_made_up_lines_are_not_taken_for_a_shift(tmp_path: Path) -> None:
    assert vacuum_warning(line_offset([template()])) is None
    write_grid(tmp_path / "grid")
    config = experiment(tmp_path)
    ingest(config)
    assert "grid.path: no known lines stand out" in (config.run_dir / "logs" / "ingest.log").read_text()
