"""The continuum: levels as astropy clips them, and a spline that bridges, holds and scales."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_lsq_spline

from starnet_hpc.kernels.continuum import SegmentContinuum

Array = NDArray[Any]

UVES = 4835.01 + 0.0142 * np.arange(39_436)
STRONG = ((UVES > 4845) & (UVES < 4886)) | ((UVES > 5160) & (UVES < 5200))
NOTHING = np.zeros(UVES.size, dtype=bool)


def segment_numbers(wavelength: Array, segment: float = 10.0) -> Array:
    """Return the segment of each pixel of one arm: equal widths nearest to `segment`."""
    count = max(1, round((wavelength[-1] - wavelength[0]) / segment))
    share = (wavelength - wavelength[0]) / (wavelength[-1] - wavelength[0])
    return np.minimum((share * count).astype(int), count - 1)


def clipped(values: Array) -> Array:
    """Return what astropy's sigma_clip leaves of some fluxes."""
    return np.asarray(sigma_clip(values.astype(float), sigma_lower=0.5, sigma_upper=2, maxiters=None, masked=False))


def compare_with_astropy(flux: Array, avoid: Array, usable: Array, wavelength: Array = UVES) -> int:
    """Assert that every segment's level is astropy's; return how many have one."""
    levels, kept = SegmentContinuum(wavelength, avoid).levels(flux, usable)
    number = segment_numbers(wavelength)
    typical = np.median(np.bincount(number))
    assert levels.size == number[-1] + 1
    for s in range(levels.size):
        inside = number == s
        good = flux[inside & ~avoid & usable & np.isfinite(flux)]
        if good.size < max(8, 0.25 * min(inside.sum(), typical)):
            assert np.isnan(levels[s])
            assert kept[s] == 0
            continue
        expected = clipped(good)
        assert kept[s] == expected.size, s
        assert levels[s] == pytest.approx(expected.mean(), rel=1e-12)
    return int(np.isfinite(levels).sum())


@pytest.fixture(scope="module")
def templates(shared: Path) -> Array:
    """Fluxes of real templates on the paper's pixels [12, pixels], smoothed by next to nothing."""
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        rows = data["norm"][::170][:12] / 65535.0
        return np.array([np.interp(UVES, data["wl"], row) for row in rows])


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.03, 0.07])
def test_levels_of_noisy_real_spectra_are_astropys(templates: Array, noise: float) -> None:
    rng = np.random.default_rng(int(1000 * noise))
    for template in templates[:: 1 if noise == 0.03 else 4]:
        flux = (template * (1 + noise * rng.standard_normal(UVES.size)) * 3e6).astype(np.float32)
        assert compare_with_astropy(flux, STRONG, ~NOTHING) == 49  # of 56 segments, 8 lie in strong lines, one partly


def test_masked_and_missing_pixels_take_no_part(templates: Array) -> None:
    rng = np.random.default_rng(3)
    for template in templates[:3]:
        flux = (template + 0.02 * rng.standard_normal(UVES.size)).astype(np.float32)
        usable = rng.uniform(size=UVES.size) > 0.2
        usable[3000:5000] = False
        flux[~usable] = rng.choice(np.float32([0, 1e9, -1e9]), np.count_nonzero(~usable))
        flux[rng.uniform(size=UVES.size) < 0.05] = np.nan
        flux[rng.uniform(size=UVES.size) < 0.01] = np.inf
        assert compare_with_astropy(flux, STRONG, usable) > 40


def test_wild_pixels_spoil_no_digits(templates: Array) -> None:
    """A pixel of -1e6 among fluxes near 1: running sums that once held its square would have lost all digits."""
    rng = np.random.default_rng(4)
    flux = (templates[0] + 0.01 * rng.standard_normal(UVES.size)).astype(np.float32)
    wild = rng.integers(0, UVES.size, 150)
    flux[wild] = rng.choice(np.float32([-1e6, 1e6, -300, 300]), wild.size)
    compare_with_astropy(flux, NOTHING, ~NOTHING)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 1.25, 2.0]), min_size=16, max_size=60), st.integers(0, 2**31))
def test_ties_and_even_counts_are_treated_as_astropy_does(values: list[float], seed: int) -> None:
    flux = np.random.default_rng(seed).permutation(np.float32(values))
    wavelength = np.linspace(5000.0, 5009.0, flux.size)  # one segment
    levels, kept = SegmentContinuum(wavelength, np.zeros(flux.size, dtype=bool)).levels(flux)
    expected = clipped(flux)
    assert kept[0] == expected.size
    assert levels[0] == pytest.approx(expected.mean(), rel=1e-12, abs=1e-12)


def test_segments_are_as_wide_in_wavelength_where_pixels_change_their_width() -> None:
    """The authors' code took 10 A as so many pixels of the first pixel's width."""
    fine, coarse = np.arange(5000.0, 5100.0, 0.01), np.arange(5100.0, 5200.0, 0.1)
    wavelength = np.concatenate([fine, coarse])
    level = 1.0 + segment_numbers(wavelength)
    levels, kept = SegmentContinuum(wavelength, np.zeros(wavelength.size, dtype=bool)).levels(level.astype(np.float32))
    np.testing.assert_array_equal(levels, np.arange(1.0, 21.0))
    assert kept[3] == pytest.approx(1000, abs=5)
    assert kept[15] == pytest.approx(100, abs=2)


def test_strong_lines_have_no_say() -> None:
    flux = np.ones(UVES.size, dtype=np.float32)
    model = SegmentContinuum(UVES, STRONG)
    flat = model.fit(flux)
    np.testing.assert_allclose(flat, 1, atol=1e-6)
    flux[STRONG] = np.random.default_rng(5).uniform(0, 5, np.count_nonzero(STRONG))
    np.testing.assert_array_equal(model.fit(flux), flat)


@pytest.mark.parametrize("missing", [range(16, 26), range(4), range(51, 56), range(16, 55), range(1, 56)])
def test_segments_without_pixels_are_bridged_by_a_straight_line(missing: range) -> None:
    flux = (1.0 + 0.4 * (UVES - 5115) / 560).astype(np.float32)
    flux[np.isin(segment_numbers(UVES), missing)] = np.nan
    fitted = SegmentContinuum(UVES, NOTHING).fit(flux)
    expected = flux[0] if len(missing) == 55 else 1.0 + 0.4 * (UVES - 5115) / 560  # one level knows no slope
    # Without noise, clipping a tilted segment ends at its highest pixel: half a segment's tilt, 0.0036, above.
    np.testing.assert_allclose(fitted, expected, atol=8e-3)


def test_a_spectrum_without_a_usable_pixel_has_no_continuum() -> None:
    model = SegmentContinuum(UVES, NOTHING)
    assert np.isnan(model.fit(np.ones(UVES.size, dtype=np.float32), NOTHING)).all()
    assert np.isnan(model.fit(np.full(UVES.size, np.nan, dtype=np.float32))).all()


@settings(max_examples=25, deadline=None)
@given(exponent=st.floats(-15, 15), seed=st.integers(0, 1000))
def test_a_factor_passes_through(exponent: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flux = (1 - 0.5 * rng.uniform(size=UVES.size) ** 6).astype(np.float32)
    model = SegmentContinuum(UVES, STRONG)
    factor = np.float32(2.0 ** round(exponent))  # powers of two, so that no rounding decides about a pixel
    np.testing.assert_allclose(model.fit(flux * factor), model.fit(flux) * factor, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), holes=st.integers(0, 6), low=st.floats(1e-3, 1))
def test_positive_levels_never_give_a_continuum_of_zero_or_less(seed: int, holes: int, low: float) -> None:
    """However levels jump: nothing is ever divided by zero."""
    rng = np.random.default_rng(seed)
    wavelength = UVES[::10]
    number = segment_numbers(wavelength)
    flux = np.exp(rng.uniform(np.log(low), 0, number[-1] + 1))[number].astype(np.float32)
    for hole in rng.integers(0, number[-1] + 1, holes):
        flux[number == hole] = np.nan
    model = SegmentContinuum(wavelength, np.zeros(wavelength.size, dtype=bool))
    levels, _ = model.levels(flux)
    fitted = model.fit(flux)
    assert fitted.min() >= np.nanmin(levels) * 0.5 * (1 - 1e-6)
    assert fitted.max() <= np.nanmax(levels) * 1.5 * (1 + 1e-6)


def test_negative_levels_are_followed_too() -> None:
    """Oversubtracted sky: the fit may be useless, but it must not be another curve than the levels'."""
    flux = (-1.0 - 0.2 * (UVES - 5115) / 560).astype(np.float32)
    np.testing.assert_allclose(SegmentContinuum(UVES, NOTHING).fit(flux), flux, atol=5e-3)


def test_each_arm_has_a_spline_of_its_own() -> None:
    a, b = np.arange(4800.0, 4900.0, 0.02), np.arange(5000.0, 5200.0, 0.05)
    both = np.concatenate([a, b])
    flux = np.concatenate([np.full(a.size, 1.0), np.full(b.size, 7.0)]).astype(np.float32)
    none = np.zeros(both.size, dtype=bool)
    model = SegmentContinuum(both, none)
    np.testing.assert_allclose(model.fit(flux), flux, rtol=1e-6)
    flux[: a.size] = np.nan
    half = model.fit(flux)
    assert np.isnan(half[: a.size]).all()
    np.testing.assert_allclose(half[a.size :], 7, rtol=1e-6)


@pytest.mark.parametrize("width", [0.5, 8.0, 15.0, 25.0, 35.0, 60.0, 100.0])
def test_short_ranges_have_a_continuum(width: float) -> None:
    wavelength = np.arange(5150.0, 5150.0 + width, 0.0142)
    flux = (2.0 + 0.001 * (wavelength - 5150)).astype(np.float32)
    fitted = SegmentContinuum(wavelength, np.zeros(wavelength.size, dtype=bool)).fit(flux)
    # Too few levels for a slope up to 25 A: a constant within the range of the flux.
    np.testing.assert_allclose(fitted, flux, atol=0.001 * min(width, 25.0) + 1e-6)


def test_spline_is_the_least_squares_fit_to_the_levels() -> None:
    rng = np.random.default_rng(8)
    number = segment_numbers(UVES)
    jumps = 1 + 0.1 * np.cumsum(rng.normal(size=number[-1] + 1))
    flux = jumps[number].astype(np.float32)
    centres = np.array([UVES[number == s].mean() for s in range(jumps.size)])
    pieces = round((UVES[-1] - UVES[0]) / 30.0)
    inner = np.linspace(UVES[0], UVES[-1], pieces + 1)
    knots = np.concatenate([np.repeat(inner[0], 3), inner, np.repeat(inner[-1], 3)])
    expected: BSpline = make_lsq_spline(centres, jumps.astype(np.float32), knots, 3)
    # The weight on roughness, 1e-5, has a say where levels jump as these do; nothing else may.
    difference = SegmentContinuum(UVES, NOTHING).fit(flux) - expected(UVES)
    assert np.abs(difference).max() < 1e-3 * np.ptp(jumps)
