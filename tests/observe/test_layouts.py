"""One star in every layout is one row; a star seen on other pixels is the star that training makes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from numpy.typing import NDArray
from specutils import Spectrum

from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.refraction import air_to_vacuum
from starnet_hpc.observations import ObservedSpectrum, read_observation, write_eso_sdp
from starnet_hpc.observe import observe
from starnet_hpc.stores import Store, open_store
from tests.observations.cases import in_orders, write_dot_s, write_harps, write_opera, write_text
from tests.observe.cases import experiment, instrument

C_KMS = 299_792.458
UVES: dict[str, Any] = {
    "instrument": "uves_4835_5395",
    "augment": {"continuum_segment": 10.0, "continuum_knot_spacing": 30.0, "dtype": "float32"},
}
STARS = ("ATLAS.Sun_47000", "UVES_epsEri-2_47000", "iraf_UVES_HD201891_47000")
SAME = 1e-5
"""Layouts that hold the flux in float32 or to more digits differ by this at most, once the continuum is divided out."""
LIMITS = {"dot_s": 3e-4, "orders": 2e-3}
"""Six digits move pixels across the limits of the continuum's clipping; overlapping orders are rebinned, besides."""


def around_the_instrument(path: Path) -> ObservedSpectrum:
    """Return a published spectrum, cut to what the instrument needs; where it has no errors, with some."""
    whole = read_observation(path, None)
    part = slice(*np.searchsorted(whole.wavelength, [4830.0, 5400.0]))
    error = whole.flux / 100 if whole.error is None else whole.error
    cut = {"wavelength": whole.wavelength[part], "flux": whole.flux[part], "error": error[part]}
    return replace(whole, bad=whole.bad[part], **cut)


def write_layouts(folder: Path, star: str, seen: ObservedSpectrum) -> list[Path]:
    """Write a star in each layout that is recognised, and return the paths."""
    air, flux, error = seen.wavelength, seen.flux, seen.error
    assert error is not None
    start, step = float(air[0]), 0.01

    def named(layout: str, ending: str) -> Path:
        return folder / f"{star}-{layout}{ending}"

    write_eso_sdp(named("eso", ".fits"), air, flux, error=error)
    write_harps(named("harps", ".fits"), flux, start, step)
    write_opera(named("opera", ".fits"), air, flux, error)
    write_dot_s(named("dot_s", ".s"), air, flux, error)
    chosen = in_orders(air, 5, 300)
    write_dot_s(named("orders", ".s"), air[chosen], flux[chosen], error[chosen])
    write_text(named("text", ".txt"), air / 10, flux, error)
    vacuum = air_to_vacuum(air)
    write_text(named("vacuum", ".dat"), vacuum, flux, form="%.12g", heading="# medium: vacuum\n# wavelength [A] flux")
    return sorted(folder.glob(f"{star}-*"))


def opened(tmp_path: Path, run: str, **survey: Any) -> Store:
    config = experiment(tmp_path, run=run, survey={"frame": "rest", **survey}, **UVES)
    return open_store(observe(config), made_by="observe")


@pytest.mark.parametrize("star", STARS)
def test_a_real_star_is_the_same_row_in_every_layout(shared: Path, tmp_path: Path, star: str) -> None:
    published = shared / f"data/observed/{star}.fits"
    paths = [published, *write_layouts(tmp_path, star, around_the_instrument(published))]
    (tmp_path / "m.csv").write_text("path\n" + "\n".join(map(str, paths)) + "\n")
    store = opened(tmp_path, "run", manifest=str(tmp_path / "m.csv"))
    flux = store.read(0, len(paths))
    assert store.column("flags").tolist() == [0] * len(paths)
    assert store.column("cosmics").tolist() == [0] * len(paths)
    for name, row in zip(store.column("id").tolist(), flux, strict=True):
        layout = name.rpartition("-")[2]
        np.testing.assert_allclose(row, flux[0], rtol=0, atol=LIMITS.get(layout, SAME), err_msg=layout)


def test_a_real_star_is_the_same_row_through_specutils(shared: Path, tmp_path: Path) -> None:
    seen = around_the_instrument(shared / f"data/observed/{STARS[1]}.fits")
    assert seen.error is not None
    (tmp_path / "observed").mkdir()
    (tmp_path / "vacuum").mkdir()
    noise = StdDevUncertainty(seen.error * u.count)
    for folder, axis in (("observed", seen.wavelength), ("vacuum", air_to_vacuum(seen.wavelength))):
        Spectrum(flux=seen.flux * u.count, spectral_axis=axis * u.AA, uncertainty=noise).write(
            tmp_path / folder / "star.fits", format="tabular-fits"
        )
    write_eso_sdp(tmp_path / "star.fits", seen.wavelength, seen.flux, error=seen.error)
    (tmp_path / "m.csv").write_text("path\nstar.fits\n")
    ours = opened(tmp_path, "ours", manifest=str(tmp_path / "m.csv"))
    theirs = opened(tmp_path, "theirs", format="specutils", medium="air")
    vacuum = opened(tmp_path, "vacuum_run", format="specutils", medium="vacuum", path=str(tmp_path / "vacuum"))
    np.testing.assert_allclose(theirs.read(0, 1), ours.read(0, 1), rtol=0, atol=SAME)
    np.testing.assert_allclose(vacuum.read(0, 1), ours.read(0, 1), rtol=0, atol=SAME)
    assert theirs.column("snr")[0] == pytest.approx(ours.column("snr")[0])


def template(grid: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return point samples of a star with a sloping continuum and lines as sharp as those of a dwarf (sigma 2 km/s)."""
    rng = np.random.default_rng(3)
    depth = np.zeros(grid.size)
    velocity = np.log(grid) * C_KMS
    for centre, strength in zip(rng.uniform(4836, 5394, 700), rng.random(700) ** 2, strict=True):
        near = slice(*np.searchsorted(velocity, np.log(centre) * C_KMS + np.array([-20.0, 20.0])))
        depth[near] += 3.0 * strength * np.exp(-0.5 * ((velocity[near] - np.log(centre) * C_KMS) / 2.0) ** 2)
    return ((2.0 - grid / 5000.0) * np.exp(-depth)).astype(np.float32)


@pytest.mark.parametrize("layout", ["HARPS", "ESPaDOnS", "UVES"])
def test_a_star_seen_on_other_pixels_is_the_star_that_training_makes(tmp_path: Path, layout: str) -> None:
    """The same template on another instrument's pixels, observed, against training's own steps i to vi.

    What remains is the second averaging over pixels: second derivative times (pixel width)^2 / 24, largest for
    ESPaDOnS' 1.8 km/s, and what that does to the choice of pixels that the continuum is made of.
    """
    config = experiment(tmp_path, survey={"frame": "rest"}, **UVES)
    ours = instrument(config)
    grid = np.exp(np.arange(np.log(4820.0), np.log(5410.0), 1.0 / C_KMS))
    stellar = template(grid)

    def seen(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float32]:
        model = ForwardModel(grid, lower, upper, ours.widest_sigma_kms)
        return model.observe(stellar, vsini=3.0, epsilon=0.6, vrad=20.0)

    own = seen(ours.lower, ours.upper)
    training = own / SegmentContinuum(ours.wavelength, ours.strong_lines()).fit(own)
    (tmp_path / "observed").mkdir()
    path = tmp_path / "observed"
    if layout == "ESPaDOnS":
        edges = np.exp(np.arange(np.log(4830.0), np.log(5400.0), 1.8 / C_KMS))
        flux = seen(edges[:-1], edges[1:]).astype(np.float64)
        write_dot_s(path / "star.s", 0.5 * (edges[:-1] + edges[1:]), flux, flux / 100)
    else:
        step = {"HARPS": 0.01, "UVES": 0.0147}[layout]
        centres = 4830.003 + step * np.arange(int(570 / step))
        flux = seen(centres - step / 2, centres + step / 2).astype(np.float64)
        if layout == "HARPS":
            flux[(centres > 5304.0) & (centres < 5338.0)] = 0.0  # the gap between its chips
            write_harps(path / "star.fits", flux, centres[0], step)
        else:
            write_eso_sdp(path / "star.fits", centres, flux)
    store = open_store(observe(config), made_by="observe")
    row = store.read(0, 1)[0]
    gap = (ours.wavelength > 5303.9) & (ours.wavelength < 5338.1) & (layout == "HARPS")
    assert (row[(ours.wavelength > 5304.1) & (ours.wavelength < 5337.9)] == 0).all() == (layout == "HARPS")
    away = np.abs(row - training)[~gap]
    assert (row[~gap] > 0).all()
    assert np.median(away) < 1e-3
    assert away.max() < 2e-2
    assert store.column("cosmics")[0] == 0
