"""The broadening kernel against closed forms, and what it must leave alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet_hpc.kernels.broadening import convolve, half_length, rotation_gauss_profile, spline_kernel
from tests.kernels.reference import UVES_SIGMA, broadening_profile, gauss, rotation

SIGMA = UVES_SIGMA

vsinis = st.one_of(st.just(0.0), st.floats(0.01, 200.0))
epsilons = st.floats(0.0, 1.0)
sigmas = st.floats(0.7, 30.0)


def velocity_kernel(sigma: float, vsini: float, epsilon: float, step: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return velocities and weights of the kernel from samples to samples: the taps, then the spline at grid points."""
    taps = spline_kernel(sigma, vsini, epsilon, step).astype(np.float64)
    half = half_length(taps.astype(np.float32))
    weights = np.convolve(taps[: 2 * half + 1], [1 / 6, 4 / 6, 1 / 6])
    return step * np.arange(-half - 1, half + 2), weights


@pytest.mark.parametrize("vsini", [0.0, 0.3, 3.0, 20.0, 50.0, 200.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_profile_is_the_gaussian_convolved_with_grays_rotation(vsini: float, epsilon: float) -> None:
    velocity = np.linspace(0, vsini + 5 * SIGMA, 25)
    expected = [broadening_profile(v, SIGMA, vsini, epsilon) for v in velocity]
    # As promised: 1e-5 of the peak.
    np.testing.assert_allclose(
        rotation_gauss_profile(velocity, SIGMA, vsini, epsilon), expected, atol=1e-5 * max(expected)
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_a_narrow_line_takes_the_shape_of_grays_rotation_profile(epsilon: float) -> None:
    step, sigma, vsini = 0.25, 0.3, 60.0
    line = np.zeros(1201, dtype=np.float32)
    line[600] = 1.0
    velocity, weights = velocity_kernel(sigma, vsini, epsilon, step)
    broad = np.convolve(line, weights, mode="same")
    v = step * (np.arange(line.size) - 600)
    inside = np.abs(v) < 0.9 * vsini
    expected = rotation(v, vsini, epsilon) * step
    # What the narrow Gaussian smooths: sigma^2 / 2 times the profile's curvature, 1.5e-4 of the peak at 0.9 vsini.
    np.testing.assert_allclose(broad[inside], expected[inside], atol=2e-4 * expected.max())
    assert velocity[-1] > vsini


def test_without_rotation_the_kernel_is_the_gaussian() -> None:
    velocity, weights = velocity_kernel(SIGMA, 0.0, 0.6, 1.1)
    # Cut at 4.75 sigma, where 2e-6 of the area is left; float32 taps.
    np.testing.assert_allclose(weights, gauss(velocity, SIGMA) * 1.1, atol=3e-6)


@settings(max_examples=150, deadline=None)
@given(sigma=sigmas, vsini=vsinis, epsilon=epsilons, fineness=st.floats(0.85, 6.0))
def test_the_kernel_is_symmetric_has_area_1_and_the_variance_of_its_parts(
    sigma: float, vsini: float, epsilon: float, fineness: float
) -> None:
    velocity, weights = velocity_kernel(sigma, vsini, epsilon, sigma / fineness)
    assert weights.sum() == pytest.approx(1, abs=3e-7)  # float32 taps, some hundreds
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-7)
    turning = vsini**2 * ((1 - epsilon) / 4 + 2 * epsilon / 15) / (1 - epsilon / 3)
    # The tails beyond 4.75 sigma hold 5e-5 of the Gaussian's variance; quadrature is good to 1e-5, as above; on the
    # coarsest grids the trapezoidal rule for the variance errs by 2e-6 times (2 pi sigma / step)^2 = 60.
    assert (weights * velocity**2).sum() == pytest.approx(sigma**2 + turning, rel=2e-4)


@pytest.mark.parametrize("size", [1, 7, 255, 256, 257, 5000])
@pytest.mark.parametrize("vsini", [0.0, 7.3, 80.0])
def test_convolution_goes_on_with_the_end_values(size: int, vsini: float) -> None:
    samples = np.random.default_rng(size).uniform(0, 1, size).astype(np.float32)
    taps = spline_kernel(SIGMA, vsini, 0.6, 1.1)
    half = half_length(taps)
    expected = np.convolve(np.pad(samples.astype(np.float64), half, mode="edge"), taps[: 2 * half + 1], mode="valid")
    # float32 sums of up to 200 products.
    np.testing.assert_allclose(convolve(samples, taps), expected, atol=2e-6)


def test_read_only_samples_will_do() -> None:
    samples = np.ones(1000, dtype=np.float32)
    samples.flags.writeable = False
    np.testing.assert_allclose(convolve(samples, spline_kernel(SIGMA, 10.0, 0.6, 1.1)), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": np.nan}, "sigma must be positive"),
        ({"vsini": -1.0}, "vsini must not be negative"),
        ({"vsini": np.nan}, "vsini must not be negative"),
        ({"vsini": np.inf}, "vsini must not be negative"),
        ({"epsilon": 1.1}, "between 0 and 1, got 1.1"),
        ({"epsilon": np.nan}, "between 0 and 1"),
        ({"step": 3.5}, "a grid of 3.5 km/s steps cannot carry a line spread function of sigma 2.71 km/s"),
        ({"step": 0.0}, "a grid of 0 km/s steps"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spline_kernel(**{"sigma": SIGMA, "vsini": 10.0, "epsilon": 0.6, "step": 1.1} | change)
