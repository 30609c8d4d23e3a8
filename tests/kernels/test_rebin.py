"""Rebinning: flux and equivalent widths are conserved, what is missing is counted, and nothing is invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf

from starnet_hpc.kernels.rebin import pixel_edges, rebin

Array = NDArray[np.float64]


def mean_of_lines(edges: Array, lines: list[tuple[float, float, float]]) -> Array:
    """Return the exact mean in each pixel of 1 minus Gaussian lines (centre, depth, sigma)."""
    integral = edges.copy()
    for centre, depth, sigma in lines:
        integral -= depth * sigma * np.sqrt(np.pi / 2) * erf((edges - centre) / sigma / np.sqrt(2))
    return np.diff(integral) / np.diff(edges)


def good(flux: Array) -> NDArray[np.bool_]:
    return np.zeros(flux.size, dtype=bool)


steps = st.lists(st.floats(0.2, 2.0), min_size=5, max_size=60)


@settings(max_examples=60, deadline=None)
@given(steps=steps, seed=st.integers(0, 2**32 - 1), cuts=st.integers(1, 40))
def test_total_flux_is_conserved_for_any_pixels(steps: list[float], seed: int, cuts: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0.0], np.cumsum(steps)])
    flux = rng.uniform(-0.1, 2.0, len(steps))
    inner = np.unique(rng.uniform(0, edges[-1], cuts))
    out = np.concatenate([[0.0], inner[(inner > 1e-6) & (inner < edges[-1] - 1e-6)], [edges[-1]]])
    mean, share = rebin(edges, flux, good(flux), out[:-1], out[1:])
    assert np.isclose((mean * np.diff(out)).sum(), (flux * np.diff(edges)).sum(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(share, 0.0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(steps=steps, seed=st.integers(0, 2**32 - 1))
def test_positive_fluxes_stay_positive_however_steep(steps: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0.0], np.cumsum(steps)])
    flux = 10.0 ** rng.uniform(-4, 4, len(steps))
    out = np.linspace(0, edges[-1], 300)
    mean, _ = rebin(edges, flux, good(flux), out[:-1], out[1:])
    assert mean.min() > -1e-9 * flux.max()  # rounding of the largest flux


@settings(max_examples=30, deadline=None)
@given(steps=steps, seed=st.integers(0, 2**32 - 1))
def test_agreeing_pixels_are_passed_through(steps: list[float], seed: int) -> None:
    edges = np.concatenate([[0.0], np.cumsum(steps)])
    flux = np.random.default_rng(seed).normal(size=len(steps))
    mean, share = rebin(edges, flux, good(flux), edges[:-1], edges[1:])
    np.testing.assert_allclose(mean, flux, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(share, 0.0, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(steps=steps, value=st.floats(-5, 5))
def test_a_constant_stays_constant(steps: list[float], value: float) -> None:
    edges = np.concatenate([[0.0], np.cumsum(steps)])
    flux = np.full(len(steps), value)
    out = np.linspace(0.1, edges[-1] - 0.1, 77)
    mean, _ = rebin(edges, flux, good(flux), out[:-1], out[1:])
    np.testing.assert_allclose(mean, value, rtol=1e-11, atol=1e-12)


def test_equivalent_widths_and_profiles_survive_from_one_spectrograph_to_another() -> None:
    """Lines as wide as R = 47,000 makes them (sigma 0.046 A) from 0.01 A pixels to the 0.0142 A of the instrument: the
    reconstruction errs by the fourth power of pixel over sigma, 1e-5 of the depth; the area by rounding only, but for
    what the last pixels cut."""
    rng = np.random.default_rng(4)
    lines = [
        (centre, depth, 0.046)
        for centre, depth in zip(np.arange(5001, 5049, 1.3), rng.uniform(0.1, 0.9, 37), strict=True)
    ]
    edges = 5000.0 + 0.01 * np.arange(5001)
    lower = 5000.3 + 0.0142 * np.arange(3400)
    upper = lower + 0.0142
    flux = mean_of_lines(edges, lines)
    mean, _ = rebin(edges, flux, good(flux), lower, upper)
    expected = mean_of_lines(np.append(lower, upper[-1]), lines)
    np.testing.assert_allclose(mean, expected, atol=5e-5)
    width, expected_width = ((1 - values).sum() * 0.0142 for values in (mean, expected))
    assert width == pytest.approx(expected_width, rel=1e-5)


def test_it_agrees_with_an_independent_integral_on_a_fine_grid() -> None:
    rng = np.random.default_rng(5)
    lines = [(rng.uniform(5001, 5019), 0.7, 0.08) for _ in range(12)]
    lines = [(centre, depth / 12, sigma) for centre, depth, sigma in lines]
    edges = 5000.0 + np.cumsum(np.append(0.0, rng.uniform(0.01, 0.02, 1333)))
    lower = np.arange(5000.5, 5018.5, 0.031)
    upper = lower + 0.025  # pixels may have gaps between them
    mean, _ = rebin(edges, mean_of_lines(edges, lines), good(edges[:-1]), lower, upper)
    fine = np.linspace(0, 1, 2001)
    for low, high, value in zip(lower[::40], upper[::40], mean[::40], strict=True):
        x = low + (high - low) * fine
        y = 1 - sum(d * np.exp(-0.5 * ((x - c) / s) ** 2) for c, d, s in lines)
        assert value == pytest.approx(np.trapezoid(y, fine), abs=5e-6)


def test_bad_pixels_count_by_the_share_that_they_cover() -> None:
    edges = np.arange(11.0)
    flux = np.ones(10)
    bad = np.zeros(10, dtype=bool)
    bad[4] = True
    flux[4] = np.nan  # whatever a bad pixel holds must not spread
    mean, share = rebin(edges, flux, bad, np.array([3.0, 3.5, 4.0, 4.9, 7.0]), np.array([4.0, 4.5, 5.0, 5.9, 9.5]))
    np.testing.assert_allclose(share, [0.0, 0.5, 1.0, 0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(mean, 1.0)


def test_what_lies_outside_is_missing() -> None:
    edges = np.arange(11.0)
    flux = np.full(10, 2.0)
    lower = np.array([-3.0, -0.5, 0.0, 9.5, 12.0])
    mean, share = rebin(edges, flux, good(flux), lower, lower + 1.0)
    np.testing.assert_allclose(share, [1.0, 0.5, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(mean, [0.0, 2.0, 2.0, 2.0, 0.0])


def test_a_spectrum_without_a_good_pixel_gives_nothing() -> None:
    mean, share = rebin(np.arange(5.0), np.ones(4), np.ones(4, dtype=bool), np.array([1.0]), np.array([2.0]))
    assert mean.tolist() == [0.0]
    assert share.tolist() == [1.0]


def test_edges_lie_midway_and_gaps_get_pixels_of_their_own() -> None:
    centres = np.delete(np.arange(10.0), [4, 5, 6])
    edges, place = pixel_edges(centres)
    np.testing.assert_allclose(edges, [-0.5, 0.5, 1.5, 2.5, 3.5, 6.5, 7.5, 8.5, 9.5])
    assert place.tolist() == [0, 1, 2, 3, 5, 6, 7]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.floats(1e-3, 10.0), min_size=2, max_size=50))
def test_edges_increase_and_enclose_their_pixels(steps: list[float]) -> None:
    centres = 5000.0 + np.concatenate([[0.0], np.cumsum(steps)])
    edges, place = pixel_edges(centres)
    assert np.all(np.diff(edges) > 0)
    assert np.all(edges[place] < centres)
    assert np.all(centres < edges[place + 1])


def test_a_smoothly_growing_step_has_no_gaps() -> None:
    edges, place = pixel_edges(np.exp(np.linspace(np.log(3000), np.log(9000), 500)))
    assert edges.size == 501
    assert place[-1] == 499
