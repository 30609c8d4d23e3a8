"""Means over pixels: exact for the spline, conserving, and shifted as relativity says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from starnet_hpc.kernels.pixels import C_KMS, PixelIntegrals, doppler_steps

LN_START, LN_STEP, POINTS = np.log(5000.0), 3.7e-6, 4000
Array = NDArray[Any]


def spline(coefficients: Array) -> BSpline:
    """Return the cubic spline over ln(wavelength) in steps of the grid; coefficient j belongs to point j."""
    return BSpline(np.arange(-2.0, coefficients.size + 2), coefficients.astype(np.float64), 3)


def coefficients(seed: int) -> Array:
    return np.random.default_rng(seed).uniform(0.1, 1.0, POINTS).astype(np.float32)


def wavelength(position: Array) -> Array:
    return np.asarray(np.exp(LN_START + LN_STEP * position))


@st.composite
def pixels(draw: st.DrawFn) -> tuple[Array, Array]:
    """Return lower and upper edges, in steps of the grid, of one to four arms with pixels of any width."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lower, upper = [], []
    start = 60.0
    for _ in range(draw(st.integers(1, 4))):
        widths = draw(st.sampled_from([0.05, 0.7, 3.0, 90.0])) * rng.uniform(0.3, 1.0, draw(st.integers(1, 8)))
        edges = start + np.concatenate([[0.0], np.cumsum(widths)])
        lower.append(edges[:-1])
        upper.append(edges[1:])
        start = edges[-1] + draw(st.sampled_from([0.01, 1.0, 100.0]))
    return np.concatenate(lower), np.concatenate(upper)


@settings(max_examples=150, deadline=None)
@given(edges=pixels(), seed=st.integers(0, 2**32 - 1), shift=st.floats(-50, 50))
def test_every_pixel_holds_the_exact_mean_of_the_spline(edges: tuple[Array, Array], seed: int, shift: float) -> None:
    c = coefficients(seed)
    lower, upper = edges
    found = PixelIntegrals(wavelength(lower), wavelength(upper), LN_START, LN_STEP).mean_flux(c, shift)
    integral = spline(c).antiderivative()
    expected = (integral(upper - shift) - integral(lower - shift)) / (upper - lower)
    # float32 results; ln(wavelength) is known to 2e-15, or 5e-10 steps, against the narrowest pixel of 0.015 steps.
    np.testing.assert_allclose(found, expected, rtol=3e-7)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-20, 20), cuts=st.integers(1, 200))
def test_total_flux_is_conserved_however_a_range_is_cut(seed: int, shift: float, cuts: int) -> None:
    c = coefficients(seed)
    inner = np.random.default_rng(seed + 1).uniform(100, 3900, cuts)
    edges = wavelength(np.unique(np.concatenate([[100.0], inner, [3900.0]])))

    def total(edges: Array) -> float:
        mean = PixelIntegrals(edges[:-1], edges[1:], LN_START, LN_STEP).mean_flux(c, shift)
        return float((mean * np.diff(np.log(edges))).sum())

    assert total(edges) == pytest.approx(total(edges[[0, -1]]), rel=1e-6)


def test_arms_do_not_see_each_other() -> None:
    c = coefficients(1)
    a, b = wavelength(np.linspace(100, 900, 1001)), wavelength(np.linspace(950, 3000, 301))
    both = PixelIntegrals(
        np.concatenate([a[:-1], b[:-1]]), np.concatenate([a[1:], b[1:]]), LN_START, LN_STEP
    ).mean_flux(c, 1.5)
    alone = [PixelIntegrals(x[:-1], x[1:], LN_START, LN_STEP).mean_flux(c, 1.5) for x in (a, b)]
    np.testing.assert_array_equal(both, np.concatenate(alone))


def test_mean_over_ln_wavelength_is_the_mean_over_wavelength_for_all_that_is_measured() -> None:
    """As the module says: the difference is (width)^2 / (12 wavelength) times the slope."""
    position = np.arange(POINTS, dtype=np.float64)
    line = (1 - 0.9 * np.exp(-0.5 * ((position - 2000) / 2.5) ** 2)).astype(np.float32)  # sigma 2.8 km/s
    edges = np.arange(5002.0, 5070.0, 0.0142)  # the paper's pixels
    found = PixelIntegrals(edges[:-1], edges[1:], LN_START, LN_STEP).mean_flux(line, 0.0)
    fine = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(40) + 0.5) / 40
    over_wavelength = spline(line)((np.log(fine) - LN_START) / LN_STEP).mean(axis=1)
    # The midpoint rule with 40 points errs by 2e-6 here, float32 by 1e-7.
    np.testing.assert_allclose(found, over_wavelength, atol=5e-6)


@given(a=st.floats(-0.4, 0.4), b=st.floats(-0.4, 0.4))
def test_doppler_shift_is_relativistic(a: float, b: float) -> None:
    steps = doppler_steps(a * C_KMS, LN_STEP)
    assert np.exp(steps * LN_STEP) == pytest.approx(np.sqrt((1 + a) / (1 - a)), rel=1e-12)
    added = (a + b) / (1 + a * b)
    assert doppler_steps(added * C_KMS, LN_STEP) == pytest.approx(steps + doppler_steps(b * C_KMS, LN_STEP), abs=1e-6)


@pytest.mark.parametrize("vrad", [C_KMS, -C_KMS, 1e9, np.nan, np.inf])
def test_nothing_is_as_fast_as_light(vrad: float) -> None:
    with pytest.raises(ValueError, match="below that of light"):
        doppler_steps(vrad, LN_STEP)


@pytest.mark.parametrize("shift", [120.0, -1150.0, np.nan])
def test_pixels_outside_the_template_are_refused(shift: float) -> None:
    edges = wavelength(np.linspace(100.0, 2900.0, 50))
    with pytest.raises(ValueError, match=r"lie outside the template's 4000 steps: the template does not cover"):
        PixelIntegrals(edges[:-1], edges[1:], LN_START, LN_STEP).mean_flux(coefficients(1), shift)


def test_pixels_up_to_the_last_usable_step_are_served() -> None:
    c = coefficients(2)
    edges = wavelength(np.array([1.0 + 1e-6, 2.0, POINTS - 4.0, POINTS - 3.0 - 1e-6]))
    found = PixelIntegrals(edges[:-1], edges[1:], LN_START, LN_STEP).mean_flux(c, 0.0)
    position = (np.log(edges) - LN_START) / LN_STEP
    integral = spline(c).antiderivative()
    np.testing.assert_allclose(found, np.diff(integral(position)) / np.diff(position), rtol=1e-6)
