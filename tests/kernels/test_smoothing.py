"""The running mean: as the sum over all pixels gives it, whatever is missing, and never far from what is there."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet_hpc.kernels.smoothing import MedianContinuum, SmoothContinuum

Array = NDArray[Any]

UVES = 4835.01 + 0.0142 * np.arange(39_436)
STRONG = ((UVES > 4845) & (UVES < 4886)) | ((UVES > 5160) & (UVES < 5200))

TOLERANCE = 2e-6
"""Interpolating Gaussians twice errs by 4e-7 each at most; float32 polynomials and their quotient by 4e-7 again."""


def nothing(wavelength: Array) -> Array:
    return np.zeros(wavelength.size, dtype=bool)


def direct(wavelength: Array, flux: Array, good: Array, width: float, at: Array) -> Array:
    """Return the normalised Gaussian-weighted mean at some wavelengths [angstrom], summed pixel by pixel in float64."""
    exponent = -0.5 * ((at[:, None] - wavelength[good]) / width) ** 2
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return np.asarray((weight * flux[good].astype(np.float64)).sum(axis=1) / weight.sum(axis=1))


def spectrum(wavelength: Array, seed: int = 1, noise: float = 0.05) -> Array:
    """Return lines, noise and a response that swings by a third, in physical units."""
    rng = np.random.default_rng(seed)
    response = 1.0 + 0.3 * np.sin(wavelength / 37.0)
    lines = 1.0 - 0.7 * rng.uniform(size=wavelength.size) ** 4
    return (3e6 * response * (lines + noise * rng.standard_normal(wavelength.size))).astype(np.float32)


@pytest.mark.parametrize("width", [5.0, 50.0, 400.0])
def test_the_papers_pixels_give_the_sum_over_all_pixels(width: float) -> None:
    flux = spectrum(UVES)
    some = np.append(np.arange(0, UVES.size, 389), UVES.size - 1)
    # 40 A of strong lines are eight widths of 5 A: where none of its pixels is near, the mean is bridged.
    near = np.array([np.abs(UVES[~STRONG] - UVES[k]).min() < 4.5 * width for k in some])
    assert near.mean() > 0.8
    expected = direct(UVES, flux, ~STRONG, width, UVES[some][near])
    found = SmoothContinuum(UVES, STRONG, width=width).fit(flux)
    np.testing.assert_allclose(found[some][near], expected, rtol=TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    width=st.floats(2.0, 300.0),
    pixels=st.integers(16, 600),
    hole=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    missing=st.floats(0, 0.9),
)
def test_missing_pixels_take_no_part(
    seed: int, width: float, pixels: int, hole: tuple[float, float], missing: float
) -> None:
    """Uneven pixels; a hole; pixels that are masked, NaN, infinite or exactly zero."""
    rng = np.random.default_rng(seed)
    wavelength = 5000.0 + np.cumsum(rng.uniform(0.02, 0.5, pixels))
    flux = spectrum(wavelength, seed)
    usable = rng.uniform(size=pixels) >= missing
    usable[int(min(hole) * pixels) : int(max(hole) * pixels)] = False
    usable[rng.integers(pixels)] = True
    flux[~usable] = rng.choice(np.float32([1e9, -1e9, np.nan]), np.count_nonzero(~usable))
    good = usable & (rng.uniform(size=pixels) >= 0.1)
    good[np.flatnonzero(usable)[0]] = True
    flux[usable & ~good] = rng.choice(np.float32([0, np.nan, np.inf, -np.inf]), np.count_nonzero(usable & ~good))
    found = SmoothContinuum(wavelength, nothing(wavelength), width=width).fit(flux, usable)
    near = np.abs(wavelength[:, None] - wavelength[good]).min(axis=1) < 4.5 * width
    np.testing.assert_allclose(found[near], direct(wavelength, flux, good, width, wavelength)[near], rtol=TOLERANCE)
    # Everywhere, bridges included: a mean is never above the highest or below the lowest.
    assert found.min() >= flux[good].min() * (1 - TOLERANCE)
    assert found.max() <= flux[good].max() * (1 + TOLERANCE)


@pytest.mark.parametrize(("gap", "rtol"), [(0.0, TOLERANCE), (15.0, TOLERANCE)])
def test_arms_know_nothing_of_each_other_but_small_gaps_are_none(gap: float, rtol: float) -> None:
    first, second = np.arange(5000.0, 5040.0, 0.05), np.arange(5040.0 + gap, 5090.0, 0.05)
    wavelength = np.concatenate([first, second])
    flux = spectrum(wavelength)
    found = SmoothContinuum(wavelength, nothing(wavelength), width=20.0).fit(flux)
    in_first = wavelength < 5040.0
    for arm in (in_first, ~in_first) if gap > 10 else (np.ones_like(in_first),):
        expected = direct(wavelength, flux, arm, 20.0, wavelength[arm])
        np.testing.assert_allclose(found[arm], expected, rtol=rtol)


def test_an_arm_without_a_usable_pixel_has_no_continuum() -> None:
    wavelength = np.concatenate([np.arange(5000.0, 5040.0, 0.05), np.arange(5090.0, 5140.0, 0.05)])
    flux, first = spectrum(wavelength), wavelength < 5050
    for missing in (np.nan, np.float32(0.0)):
        found = SmoothContinuum(wavelength, nothing(wavelength)).fit(np.where(first, np.float32(missing), flux))
        assert np.isnan(found[first]).all()
        assert np.isfinite(found[~first]).all()
    assert np.isnan(SmoothContinuum(wavelength, nothing(wavelength)).fit(flux, first & False)).all()


def test_stretches_without_pixels_are_bridged_by_a_straight_line() -> None:
    """Twenty widths of nothing, in which all weights would be rounded to zero; and level beyond the last pixels."""
    wavelength = np.arange(5000.0, 5300.0, 0.05)
    flux = np.where(wavelength < 5150, 1.0, 3.0).astype(np.float32)
    usable = ((wavelength > 5040) & (wavelength < 5100)) | ((wavelength > 5200) & (wavelength < 5240))
    found = SmoothContinuum(wavelength, nothing(wavelength), width=5.0).fit(flux, usable)
    np.testing.assert_allclose(found[wavelength < 5120], 1.0, rtol=TOLERANCE)
    np.testing.assert_allclose(found[wavelength > 5180], 3.0, rtol=TOLERANCE)
    bridge = (wavelength > 5130) & (wavelength < 5170)
    # The line begins somewhat more than five widths from the pixels, 5128 or so, and ends at 5172 or so.
    np.testing.assert_allclose(found[bridge], 2.0 + 2.0 * (wavelength[bridge] - 5150.0) / 44.0, atol=0.1)
    assert (np.diff(found[bridge]) > 0).all()


def test_there_is_no_step_where_a_bridge_begins() -> None:
    flux = spectrum(UVES)
    found = SmoothContinuum(UVES, (UVES > 4950) & (UVES < 5150), width=8.0).fit(flux).astype(np.float64)
    # 0.0142 A are 1 / 560 of the width, over which the mean may change by its own size.
    assert np.abs(np.diff(found)).max() < 4e-3 * np.median(found)


def test_a_constant_comes_back_exactly_and_a_factor_passes_through() -> None:
    model = SmoothContinuum(UVES, STRONG)
    np.testing.assert_allclose(model.fit(np.full(UVES.size, 7.5, dtype=np.float32)), 7.5, rtol=5e-7)
    flux = spectrum(UVES)
    for factor in (2.0**-40, 2.0**60):
        np.testing.assert_allclose(
            model.fit(flux * np.float32(factor)), model.fit(flux) * np.float32(factor), rtol=1e-6
        )


def test_the_median_level_is_that_of_usable_pixels() -> None:
    flux = np.float32([1, 2, 3, 50, 0, np.nan, np.inf, 4])
    usable = np.array([1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    np.testing.assert_array_equal(MedianContinuum().fit(flux, usable), np.full(8, 2.5, dtype=np.float32))
    np.testing.assert_array_equal(MedianContinuum().fit(flux), np.full(8, 3.0, dtype=np.float32))
    assert np.isnan(MedianContinuum().fit(flux, ~usable & (flux < 0))).all()
