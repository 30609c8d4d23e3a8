"""The same 50 spectra in five formats, as the shared tool writes them, give the same templates and the same grid."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.grids import TemplateSpectrum, reader_for
from starnet_hpc.ingest import ingest
from starnet_hpc.stores import Store, open_store
from tests.grids.files import NODES, write_with_tool
from tests.ingest.cases import experiment

LOW, HIGH = 5138.0, 5182.0
FLUX_TOLERANCE = {
    "intrigoss": 2e-7,  # float32
    "phoenix": 2e-7,  # float32, times 1e8
    "ambre": 6e-7,  # seven digits
    "ferre": 6e-6,  # six digits
    "mpia_nlte": 0.0,  # flux over continuum, to six decimals:
}
SIX_DECIMALS = 5.6e-7  # and the tool computes in float32
FORMATS = tuple(FLUX_TOLERANCE)


@pytest.fixture(scope="module")
def folders(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("formats")
    return {name: write_with_tool(shared, name, root / name, LOW, HIGH) for name in FORMATS}


@pytest.fixture(scope="module")
def truth(shared: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, labels, flux / continuum, and continuum of the nodes."""
    with np.load(shared / NODES) as data:
        wavelength = data["wl"]
        inside = (wavelength >= LOW) & (wavelength <= HIGH)
        continuum = np.array([np.interp(wavelength, wavelength[::50], row)[inside] for row in data["cont"][:50]])
        return wavelength[inside], data["par"][:50], data["norm"][:50, inside] / 65535.0, continuum


def by_labels(templates: list[TemplateSpectrum]) -> dict[tuple[float, ...], TemplateSpectrum]:
    return {tuple(one.labels[name] for name in ("teff", "logg", "feh")): one for one in templates}


@pytest.mark.parametrize("grid_format", FORMATS)
def test_each_format_gives_back_wavelengths_fluxes_and_labels(
    grid_format: str, folders: dict[str, Path], truth: tuple[np.ndarray, ...]
) -> None:
    reader = reader_for(grid_format)
    wavelength, labels, normalised, continuum = truth
    found = by_labels([reader.read(source) for source in reader.sources(folders[grid_format])])
    assert len(found) == 50
    for row in range(50):
        back = found[tuple(labels[row, :3])]
        np.testing.assert_allclose(back.wavelength, wavelength, atol=1e-4, rtol=0)
        if grid_format == "mpia_nlte":
            np.testing.assert_allclose(back.flux, normalised[row], rtol=0, atol=SIX_DECIMALS)
        else:
            expected = normalised[row] * continuum[row]
            np.testing.assert_allclose(back.flux, expected, rtol=FLUX_TOLERANCE[grid_format])
        if grid_format == "ferre":
            assert "afe" not in back.labels
            assert back.extra["afe"] == pytest.approx(labels[row, 3], abs=1e-12)
            assert back.resolution == 300_000
        else:
            assert back.labels["afe"] == labels[row, 3]
        if grid_format == "ambre":  # the quotient of two columns
            error = np.abs(back.continuum / continuum[row] - 1.0)
            assert np.all(error < SIX_DECIMALS / normalised[row] + 1e-6)


@pytest.mark.parametrize("grid_format", FORMATS)
def test_a_window_leaves_samples_out_but_changes_none(grid_format: str, folders: dict[str, Path]) -> None:
    reader = reader_for(grid_format)
    for source in reader.sources(folders[grid_format])[::17]:
        whole, part = reader.read(source), reader.read(source, (5155.0, 5156.0))
        inside = (whole.wavelength >= part.wavelength[0]) & (whole.wavelength <= part.wavelength[-1])
        np.testing.assert_array_equal(part.wavelength, whole.wavelength[inside])
        np.testing.assert_array_equal(part.flux, whole.flux[inside])
        if grid_format != "intrigoss":  # whose files are short
            assert part.wavelength.size < whole.wavelength.size


def test_ingest_makes_the_same_grid_of_all_five(
    folders: dict[str, Path], truth: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    stores: dict[str, Store] = {}
    for name, folder in folders.items():
        config = experiment(tmp_path, run=name, grid={"format": name, "path": str(folder), "step_kms": 1.0})
        stores[name] = open_store(ingest(config), made_by="ingest")
    reference = stores["intrigoss"]
    labels = {tuple(row): at for at, row in enumerate(reference.column("labels"))}
    wavelength, _, _, continuum = truth
    for name, store in stores.items():
        np.testing.assert_array_equal(store.wavelength, reference.wavelength)
        assert store.label_names == (("teff", "logg", "feh", "afe") if name != "ferre" else ("teff", "logg", "feh"))
        for at, row in enumerate(store.column("labels")):
            key = (*row, 0.5) if name == "ferre" else tuple(row)
            expected = reference.read(labels[key], labels[key] + 1)[0]
            flux = store.read(at, at + 1)[0]
            if name == "mpia_nlte":
                original = int(np.flatnonzero((truth[1][:, :4] == key).all(axis=1))[0])
                flux = flux * np.interp(store.wavelength, wavelength, continuum[original])
                # The continuum is straight between its nodes, and a product is not quite the product of splines.
                np.testing.assert_allclose(flux, expected, rtol=2e-6, atol=2 * SIX_DECIMALS * expected.max())
            else:
                np.testing.assert_allclose(flux, expected, rtol=2 * FLUX_TOLERANCE[name] + 1e-6)
