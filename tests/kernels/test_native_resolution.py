"""Templates that have been smoothed already: what our kernels add to an independent Gaussian makes the whole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from starnet_hpc.kernels.broadening import convolve, finishing_kernel, half_length, spline_kernel
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.linespread import LineSpread
from tests.kernels.reference import C, broadened, observed, pixel_means
from tests.kernels.test_forward import Star, ln_grid
from tests.kernels.test_linespread import CENTRES, EDGES, forest, sigma_of

Array = NDArray[Any]

SHARP = np.arange(5150.0, 5230.0, 0.01)
TABLE = LineSpread(((5160.0, 20_000.0), (5220.0, 30_000.0))).within(float(CENTRES[0]), float(CENTRES[-1]))
STARS = [Star(0.0, 0.6, -150.0), Star(0.7, 0.2, 120.0), Star(40.0, 0.5, 77.0)]


def sigma(resolution: float) -> float:
    return float(C / resolution / np.sqrt(8 * np.log(2)))


def smoothed_template(native: float, step_kms: float) -> tuple[Array, Array]:
    """Return a ln grid and a template of this resolution on it, by an independent Gaussian in float64."""
    fine = np.linspace(np.log(SHARP[0]), np.log(SHARP[-1]), 12 * SHARP.size)
    flux = broadened(CubicSpline(SHARP, forest(SHARP)), fine, sigma(native), 0.0, 0.6)
    grid = ln_grid(5151.0, 5229.0, step_kms)
    return grid, CubicSpline(fine, flux)(np.log(grid)).astype(np.float32)


@pytest.mark.parametrize("native", [500_000.0, 60_000.0, 31_000.0, 30_000.0])
@pytest.mark.parametrize("star", STARS)
def test_a_smoothed_template_is_finished_to_what_the_sharp_one_becomes(native: float, star: Star) -> None:
    """Down to none, what is left of the Gaussian is right, and with it rotation, on steps of 1.1 km/s."""
    grid, template = smoothed_template(native, 1.1)
    seen = {"vsini": star.vsini, "epsilon": star.epsilon, "vrad": star.vrad}
    arms = [(slice(0, CENTRES.size), TABLE)]
    for spread, known in (
        (sigma(30_000.0), sigma(30_000.0)),
        (arms, lambda wavelength: sigma_of(TABLE, wavelength)),
    ):
        forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], spread, sigma(native))
        expected = observed(SHARP, forest(SHARP), EDGES[:-1], EDGES[1:], sigma=known, finer=6, **seen)
        off = np.abs(forward.observe(template, **seen) - expected) / np.median(expected)
        assert off.max() < 1e-4
        assert np.median(off) < 1e-5


@pytest.mark.parametrize("step_kms", [3.0, 4.0])
def test_two_samples_a_resolution_element_are_enough(step_kms: float) -> None:
    """Grids that come smoothed come coarsely sampled: 10 km/s of FWHM in steps of 3 and 4 km/s."""
    grid, template = smoothed_template(30_000.0, step_kms)
    star = Star(12.0, 0.6, 20.0)
    seen = {"vsini": star.vsini, "epsilon": star.epsilon, "vrad": star.vrad}
    expected = observed(SHARP, forest(SHARP), EDGES[:-1], EDGES[1:], sigma=sigma(30_000.0), finer=6, **seen)
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], sigma(30_000.0), sigma(30_000.0))
    # A line with sigma 4.2 km/s holds exp(-(pi sigma / step)^2 / 2) beyond the highest frequency of the samples, and
    # a cubic spline through them errs by 3 / 720 x (step / sigma)^4 of its depth: 1e-3 and 3.5e-3.
    off = np.abs(forward.observe(template, **seen) - expected)
    assert off.max() < {3.0: 1e-3, 4.0: 3.5e-3}[step_kms]


def test_where_nothing_is_lacking_the_samples_spline_is_averaged_over_pixels() -> None:
    grid, template = smoothed_template(20_000.0, 3.0)
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], sigma(20_000.0), sigma(20_000.0))
    expected = pixel_means(grid, template.astype(np.float64), EDGES[:-1], EDGES[1:])
    # Splines in wavelength and in its logarithm: alike to 1e-6 in steps of 0.05 A.
    np.testing.assert_allclose(forward.observe(template, vsini=0.0, epsilon=0.6, vrad=0.0), expected, atol=3e-6)


@settings(max_examples=60, deadline=None)
@given(
    sigma_kms=st.floats(2.5, 10.0),
    vsini=st.one_of(st.just(0.0), st.floats(0.01, 200.0)),
    epsilon=st.floats(0, 1),
)
def test_both_kernels_are_the_same_where_both_can_be(sigma_kms: float, vsini: float, epsilon: float) -> None:
    kernels = [kernel(sigma_kms, vsini, epsilon, 1.1) for kernel in (spline_kernel, finishing_kernel)]
    half = min(half_length(taps) for taps in kernels)
    one, other = (taps[half_length(taps) - half :][: 2 * half + 1] for taps in kernels)
    # The sampled one ends where the Gaussian is 1.3e-5 of its peak, its quadrature is good to 1e-5.
    np.testing.assert_allclose(one, other, atol=3e-5 * one.max())


def test_no_gaussian_and_no_rotation_leave_every_sample_as_it_is() -> None:
    samples = np.random.default_rng(7).uniform(0, 1, 500).astype(np.float32)
    spline = convolve(samples, finishing_kernel(0.0, 0.0, 0.6, 1.1)).astype(np.float64)
    np.testing.assert_allclose(np.convolve(spline, [1 / 6, 4 / 6, 1 / 6], mode="valid"), samples[1:-1], atol=1e-6)


def test_templates_smoother_than_the_instrument_are_refused() -> None:
    grid = ln_grid(5151.0, 5229.0, 1.1)
    for spread in (sigma(47_000.0), [(slice(0, CENTRES.size), TABLE)]):
        with pytest.raises(ValueError, match=r"templates of sigma 4\.39 km/s cannot be given a sigma of"):
            ForwardModel(grid, EDGES[:-1], EDGES[1:], spread, sigma(29_000.0))


def test_a_grid_too_coarse_for_the_instrument_is_so_whatever_templates_lack() -> None:
    grid, template = ln_grid(5151.0, 5229.0, 6.0), np.ones(4000, dtype=np.float32)
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], sigma(30_000.0), sigma(30_000.0))
    with pytest.raises(ValueError, match="a grid of 6 km/s steps cannot carry"):
        forward.observe(template, vsini=0.0, epsilon=0.6, vrad=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": -1.0}, "sigma must not be negative"),
        ({"sigma": np.nan}, "sigma must not be negative"),
        ({"vsini": -1.0}, "vsini must not be negative"),
        ({"epsilon": 1.1}, "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finishing_kernel(**{"sigma": 0.0, "vsini": 10.0, "epsilon": 0.6, "step": 1.1} | change)
