"""Radial velocities: against least squares written out with SciPy, and on real spectra, whether errors cover."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.optimize import minimize_scalar

from starnet_hpc.kernels.broadening import convolve, spline_kernel
from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.correlation import NOTHING, VelocitySearch
from starnet_hpc.kernels.forward import ForwardModel, add_noise
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.kernels.random import stream
from tests.kernels.reference import UVES_SIGMA, C, pixel_means

Array = NDArray[Any]

STEP_KMS = 1.1
EDGES = 5100.0 + 0.0142 * np.arange(10_563)
LIMIT = 500.0


def ln_grid(low: float, high: float) -> Array:
    return np.asarray(np.exp(np.arange(np.log(low), np.log(high), STEP_KMS / C)))


# --- spectra in closed form -------------------------------------------------------------------------------------------

LINES = np.random.default_rng(1).uniform(5095, 5255, 90)
DEPTHS = np.random.default_rng(2).uniform(0.05, 0.7, 90)


def closed_form(wavelength: Array, strength: float = 1.0, width_kms: float = 5.0, lines: Array = LINES) -> Array:
    flux = np.ones(wavelength.size)
    depths = DEPTHS if lines is LINES else np.full(lines.size, 0.3)
    for centre, depth in zip(lines, depths, strict=True):
        flux -= strength * depth * np.exp(-0.5 * ((wavelength / centre - 1.0) * C / width_kms) ** 2)
    return flux


def closed_search(limit: float = LIMIT, lines: Array = LINES) -> VelocitySearch:
    grid = ln_grid(5090.0, 5260.0)
    widths = np.array([5.0, 12.0])
    spectra = [make_interp_spline(np.arange(grid.size), closed_form(grid, 0.6, w, lines)).c for w in widths]
    step = np.log(grid[1] / grid[0])
    templates = np.array(spectra, dtype=np.float32)
    return VelocitySearch(templates, 2.355 * widths, float(np.log(grid[0])), step, EDGES[:-1], EDGES[1:], limit)


def closed_spectrum(kms: float, noise: float = 0.0, key: int = 3, lines: Array = LINES) -> Array:
    doppler = np.sqrt((1 + kms / C) / (1 - kms / C))
    fine = ln_grid(5060.0, 5290.0)
    flux = pixel_means(fine * doppler, closed_form(fine, lines=lines), EDGES[:-1], EDGES[1:])
    return (flux + noise * np.random.default_rng(key).standard_normal(flux.size)).astype(np.float32)


@pytest.fixture(scope="module")
def search() -> VelocitySearch:
    return closed_search()


ALL = np.ones(EDGES.size - 1, dtype=bool)


@pytest.mark.parametrize("kms", [-499.0, -150.3, -2.2, 0.0, 0.4, 33.7, 480.0])
def test_a_spectrum_without_noise_is_where_it_was_put(search: VelocitySearch, kms: float) -> None:
    found = search(closed_spectrum(kms), ALL)
    # Pixels and template both come from cubic splines over samples 1.1 km/s apart.
    assert abs(found.kms - kms) < 2e-3
    assert found.template == 0
    assert found.error < 0.05


def test_the_velocity_is_that_of_least_squares(search: VelocitySearch) -> None:
    """Level, tilt and depth are free: NumPy solves for them at each velocity, and SciPy finds the least residuals."""
    flux = closed_spectrum(-71.0, noise=0.05)
    fine = ln_grid(5080.0, 5270.0)
    template = closed_form(fine, 0.6)
    place = 0.5 * (EDGES[1:] + EDGES[:-1]) - 5175.0

    def residual(kms: float) -> float:
        doppler = np.sqrt((1 + kms / C) / (1 - kms / C))
        model = pixel_means(fine * doppler, template, EDGES[:-1], EDGES[1:])
        design = np.stack([np.ones(place.size), place, model], axis=1)
        fitted = np.linalg.lstsq(design, flux.astype(np.float64), rcond=None)[0]
        return float(np.square(flux - design @ fitted).sum())

    best = minimize_scalar(residual, bounds=(-73.0, -69.0), method="bounded", options={"xatol": 1e-4})
    found = search(flux, ALL)
    assert abs(found.kms - best.x) < 0.05 * found.error


def test_errors_of_a_perfect_template_are_those_of_the_noise(search: VelocitySearch) -> None:
    noise = 0.05
    there, beside = closed_spectrum(0.0).astype(np.float64), closed_spectrum(0.5).astype(np.float64)
    expected = noise / np.sqrt(np.square((beside - there) / 0.5).sum())  # Bouchy et al. (2001)
    found = [search(closed_spectrum(20.0, noise, key), ALL) for key in range(60)]
    # Sixteen stretches or more: their scatter is known to a fifth, and the mean of 60 much better.
    assert np.mean([one.error for one in found]) == pytest.approx(expected, rel=0.1)
    assert np.std([one.kms for one in found]) == pytest.approx(expected, rel=0.25)


def test_masked_pixels_do_not_count(search: VelocitySearch) -> None:
    flux, usable = closed_spectrum(42.0, 0.03), np.random.default_rng(4).random(ALL.size) > 0.3
    usable[3000:4500] = False
    spoilt = flux.copy()
    spoilt[~usable] = np.random.default_rng(5).choice([0.0, np.nan, 1e6, -5.0], np.count_nonzero(~usable))
    found = search(flux, usable)
    assert search(spoilt, usable) == found
    assert abs(found.kms - 42.0) < 3 * found.error < 1.0


def test_of_nothing_comes_nothing(search: VelocitySearch) -> None:
    assert search(np.ones(ALL.size, dtype=np.float32), ALL).template == NOTHING.template
    few = np.arange(ALL.size) < 40
    assert np.isnan(search(closed_spectrum(0.0), few).kms)


def test_a_velocity_that_lines_at_equal_distances_leave_open_has_an_error_that_says_so() -> None:
    comb = 5095.0 * np.exp(np.arange(90) * 100.0 / C)  # a shift by 100 km/s looks nearly the same
    found = closed_search(lines=comb)(closed_spectrum(30.0, 0.3, lines=comb), ALL)
    depth_known = closed_search()(closed_spectrum(30.0, 0.3), ALL)
    assert depth_known.error < 1.0
    assert found.error > 10.0


# --- real physics -----------------------------------------------------------------------------------------------------

VSINI = (0.0, 6.0, 14.0, 26.0, 45.0)


@dataclass(frozen=True)
class Real:
    """Spectra of the reference grid between 5100 and 5250 A, at the paper's resolution."""

    native: Array
    flux: Array
    continuum: SegmentContinuum

    def search(self, rows: Array) -> VelocitySearch:
        grid = ln_grid(EDGES[0] * (1 - 60 / C), EDGES[-1] * (1 + 60 / C))
        step, spline = float(np.log(grid[1] / grid[0])), CubicSpline(self.native, grid)
        forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], UVES_SIGMA)
        centres, spectra, widths = 0.5 * (EDGES[1:] + EDGES[:-1]), [], []
        for vsini in VSINI:
            for row in rows:
                sharp = spline(self.flux[row]).astype(np.float32)
                level = self.continuum.fit(forward.observe(sharp, vsini=vsini, epsilon=0.6, vrad=0.0))
                broad = convolve(sharp, spline_kernel(UVES_SIGMA, vsini, 0.6, step * C))
                spectra.append(broad / np.interp(grid, centres, level).astype(np.float32))
                widths.append(np.hypot(2.355 * UVES_SIGMA, 1.5 * vsini))
        return VelocitySearch(
            np.array(spectra), np.array(widths), float(np.log(grid[0])), step, EDGES[:-1], EDGES[1:], LIMIT
        )

    def observed(self, row: int, vsini: float, epsilon: float, vrad: float, noise: float, key: int) -> Array:
        template = self._wide(self.flux[row]).astype(np.float32)
        flux = self._forward.observe(template, vsini=vsini, epsilon=epsilon, vrad=vrad)
        flux = add_noise(flux, noise, stream(1, "tests", "velocity"), key)
        return flux / self.continuum.fit(flux)

    def __post_init__(self) -> None:
        grid = ln_grid(EDGES[0] * (1 - 240 / C), EDGES[-1] * (1 + 240 / C))
        object.__setattr__(self, "_wide", CubicSpline(self.native, grid))
        object.__setattr__(self, "_forward", ForwardModel(grid, EDGES[:-1], EDGES[1:], UVES_SIGMA))


@pytest.fixture(scope="module")
def real(shared: Path) -> Real:
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        native, flux = data["wl"].astype(np.float64), data["norm"]
    centres = 0.5 * (EDGES[1:] + EDGES[:-1])
    return Real(native, flux / np.float32(65535.0), SegmentContinuum(centres, (centres > 5160) & (centres < 5200)))


def test_errors_cover_on_real_spectra_that_no_template_matches(real: Real) -> None:
    """Any star of the grid, S/N 14 to 100, rotation up to 50 km/s, against 24 others in five rotations."""
    rng = np.random.default_rng(7)
    rows = rng.permutation(len(real.flux))
    search = real.search(rows[:24])
    pulls, residuals = [], []
    for key, row in enumerate(rows[24:224].tolist()):
        vrad, noise = rng.uniform(-150, 150), 1 / np.exp(rng.uniform(np.log(14), np.log(100)))
        flux = real.observed(row, rng.uniform(0, 50), rng.uniform(0, 1), vrad, noise, key)
        found = search(flux, np.ones(flux.size, dtype=bool))
        residuals.append(abs(found.kms - vrad))
        pulls.append(abs(found.kms - vrad) / found.error)
    assert np.median(residuals) < 0.15
    # 200 spectra: a share of 68 % is known to 3 %. Errors may be a little too large: what is wrong with a template
    # moves lines less than it changes them.
    assert 0.62 < np.mean(np.array(pulls) < 1) < 0.86
    assert np.mean(np.array(pulls) < 2) > 0.9
    assert np.mean(np.array(pulls) < 4) > 0.98
