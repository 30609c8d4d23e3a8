"""The cubic spline against scipy's, against polynomials, and on a real template."""

from pathlib import Path

import numpy as np
import pytest
import scipy.interpolate
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.kernels.interpolate import CubicSpline


@settings(max_examples=40, deadline=None)
@given(n=st.integers(4, 300), seed=st.integers(0, 2**32 - 1))
def test_it_is_the_not_a_knot_spline_of_scipy(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.1, 1.0, n))
    y = rng.normal(size=n)
    at = np.sort(rng.uniform(x[0], x[-1], 200))
    expected = scipy.interpolate.CubicSpline(x, y)(at)
    # Two orders of elimination: rounding only, magnified by the steps' ratio of up to 10.
    np.testing.assert_allclose(CubicSpline(x, at)(y), expected, atol=1e-11 * np.abs(expected).max())


def test_cubic_polynomials_are_reproduced_to_the_ends() -> None:
    x = np.sort(np.random.default_rng(1).uniform(-1, 1, 40))
    at = np.linspace(x[0], x[-1], 500)
    np.testing.assert_allclose(CubicSpline(x, at)(x**3 - 2 * x**2 + 0.5), at**3 - 2 * at**2 + 0.5, atol=1e-13)


def test_samples_are_returned_where_targets_meet_them() -> None:
    x = np.linspace(5000.0, 5010.0, 501)
    y = np.random.default_rng(2).uniform(1e5, 1e8, x.size)
    np.testing.assert_allclose(CubicSpline(x, x)(y), y, rtol=1e-14)


def test_samples_far_outside_the_targets_change_nothing() -> None:
    """Only the neighbourhood takes part, which is what makes 900,000-point files cheap; the rest would change 1e-36."""
    x = 4000.0 + 0.01 * np.arange(60_000)
    y = np.random.default_rng(3).uniform(0.1, 1.0, x.size)
    at = np.linspace(4200.0, 4210.0, 3000)
    np.testing.assert_allclose(CubicSpline(x, at)(y), scipy.interpolate.CubicSpline(x, y)(at), rtol=1e-12)


def test_targets_outside_the_samples_are_refused() -> None:
    x = np.linspace(5000.0, 5010.0, 501)
    with pytest.raises(ValueError, match="outside"):
        CubicSpline(x, np.linspace(4999.9, 5005.0, 10))


def test_a_real_template_goes_to_the_ln_grid_as_scipy_takes_it(shared: Path) -> None:
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        x, y = data["wl"], data["norm"][0] / 65535.0
    at = np.exp(np.linspace(np.log(4831.5), np.log(5398.9), 29_943))
    np.testing.assert_allclose(CubicSpline(x, at)(y), scipy.interpolate.CubicSpline(x, y)(at), atol=1e-12)


def test_narrow_lines_come_out_ten_times_better_than_on_straight_lines() -> None:
    """Lines of sigma 0.03 A (1.8 km/s) sampled every 0.02 A, h = sigma / 1.5. A spline errs by up to h^4 f'''' / 384 =
    1.5e-3 of the depth, a straight line by up to h^2 f'' / 8 = 5e-2."""
    rng = np.random.default_rng(6)
    centres = np.arange(5000.5, 5019.5, 0.337) + rng.uniform(-0.02, 0.02, 57)

    def flux(x: np.ndarray) -> np.ndarray:
        return 1.0 - 0.8 * np.exp(-0.5 * ((x[:, None] - centres) / 0.03) ** 2).sum(axis=1)

    x = 5000.0 + 0.02 * np.arange(1001)
    at = np.exp(np.linspace(np.log(5000.1), np.log(5019.9), 5000))
    cubic = np.abs(CubicSpline(x, at)(flux(x)) - flux(at)).max()
    assert cubic < 3e-3
    assert cubic < 0.1 * np.abs(np.interp(at, x, flux(x)) - flux(at)).max()
