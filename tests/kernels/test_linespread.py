"""Line spread functions that change along the wavelengths: against closed forms, and against slow quadrature."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.gauss import gauss_taps
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.kernels.linespread import LineSpread, VaryingGaussian
from tests.kernels.reference import C, observed
from tests.kernels.test_forward import Star, ln_grid

Array = NDArray[Any]

PAPER = LineSpread(((4835.0, 20_000.0), (5395.0, 47_000.0)))
STEEP = LineSpread(((5160.0, 20_000.0), (5185.0, 36_000.0), (5200.0, 22_000.0), (5220.0, 22_000.0)))
"""Falls, rises and rests; 0.8 % of change within a resolution element, the most that an instrument may have."""
EDGES = np.arange(5160.0, 5220.0, 0.0142)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])


def sigma_of(spread: LineSpread, wavelength: Array) -> Array:
    at, resolution = np.array(spread.points).T
    return np.asarray(C / np.interp(wavelength, at, resolution) / np.sqrt(8 * np.log(2)))


def one_arm(spread: LineSpread, edges: Array) -> list[tuple[slice, LineSpread]]:
    low, high = 0.5 * (edges[0] + edges[1]), 0.5 * (edges[-1] + edges[-2])
    return [(slice(0, edges.size - 1), spread.within(float(low), float(high)))]


def errors(arms: list[tuple[slice, LineSpread]], native: Array, flux: Array, star: Star) -> Array:
    """Return the differences from truth [pixels] over the median flux, from native samples to pixels."""
    grid = ln_grid(EDGES[0] * (1 - 300 / C), EDGES[-1] * (1 + 300 / C), C * (np.diff(native) / native[:-1]).min())
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], arms)
    template = CubicSpline(native, grid)(flux).astype(np.float32)
    found = forward.observe(template, vsini=star.vsini, epsilon=star.epsilon, vrad=star.vrad)
    truth = [
        observed(
            native, flux, EDGES[:-1][part], EDGES[1:][part], finer=12, vsini=star.vsini, epsilon=star.epsilon,
            vrad=star.vrad, sigma=lambda wavelength, spread=spread: sigma_of(spread, wavelength),
        )
        for part, spread in arms
    ]  # fmt: skip
    expected = np.concatenate(truth)
    return np.asarray(np.abs(found - expected) / np.median(expected))


def forest(native: Array) -> Array:
    """Return a normalised spectrum of 300 lines, as narrow as those of cool stars."""
    rng = np.random.default_rng(4)
    flux = np.ones(native.size)
    for centre in rng.uniform(native[0], native[-1], 300):
        flux *= 1 - rng.uniform(0.02, 0.9) * np.exp(-0.5 * ((native - centre) / rng.uniform(0.03, 0.05)) ** 2)
    return flux


STARS = [Star(0.0, 0.6, -150.0), Star(0.4, 0.2, 120.0), Star(4.0, 0.9, 0.0), Star(40.0, 0.5, 77.0)]


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("star", STARS)
def test_a_resolution_that_changes_is_met_as_exactly_as_a_constant_one(star: Star) -> None:
    native = np.arange(5150.0, 5230.0, 0.02)
    off = errors(one_arm(STEEP, EDGES), native, forest(native), star)
    assert off.max() < 1.5e-4
    assert np.median(off) < 5e-6


@pytest.mark.parametrize("spread", [STEEP, PAPER])
def test_real_templates_reach_the_pixels_as_exactly_as_promised(shared: Path, spread: LineSpread) -> None:
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        part = slice(*np.searchsorted(data["wl"], [5150, 5230]))
        native, rows = data["wl"][part].astype(np.float64), data["norm"][:, part]
    rng = np.random.default_rng(5)
    worst = []
    for star in STARS:
        flux = rows[rng.integers(len(rows))] / 65535.0
        worst.append(errors(one_arm(spread, EDGES), native, flux, star).max())
    assert np.median(worst) <= 3e-4
    assert max(worst) <= 1.5e-3


@pytest.mark.parametrize("star", STARS)
def test_arms_of_different_resolution_may_touch(star: Star) -> None:
    """Each pixel sees the star, beyond the end of its arm as well, through the line spread function of its arm."""
    ends = [0, 1400, 2900, CENTRES.size]
    points = [((5170.0, 20_000.0),), ((5170.0, 47_000.0),), ((5200.0, 28_000.0), (5220.0, 33_000.0))]
    arms = [
        (slice(first, end), LineSpread(some).within(float(CENTRES[first]), float(CENTRES[end - 1])))
        for first, end, some in zip(ends[:-1], ends[1:], points, strict=True)
    ]
    native = np.arange(5150.0, 5230.0, 0.02)
    assert errors(arms, native, forest(native), star).max() < 1.5e-4


@settings(max_examples=60, deadline=None)
@given(
    first=st.floats(15_000, 60_000), ratio=st.floats(0.4, 2.5), shift=st.floats(-150, 150), centre=st.floats(5170, 5210)
)
def test_the_gaussian_that_is_lacking_is_exact_to_1e_5_of_a_lines_depth(
    first: float, ratio: float, shift: float, centre: float
) -> None:
    grid = ln_grid(5150.0, 5230.0, 1.1)
    spread = LineSpread(((5160.0, first), (5220.0, first * ratio)))
    sharpest = spread.highest
    gaussian = VaryingGaussian(spread, sharpest, grid, 5160.0, 5220.0)
    step = C * np.log(grid[1] / grid[0])
    velocity = C * np.log(grid / centre)
    # A line without a width of its own, as the sharpest Gaussian shows it, and as each point's own shows it.
    narrow = C / sharpest / np.sqrt(8 * np.log(2))
    assume(narrow > 2.2)  # sampled every 1.1 km/s, narrower lines have lost more than this test allows
    here = sigma_of(spread, grid * np.exp(shift * step / C))
    expected = narrow / here * np.exp(-0.5 * (velocity / here) ** 2)
    part, begin = gaussian(np.exp(-0.5 * (velocity / narrow) ** 2).astype(np.float32), shift)
    # Nodes: 9e-6. Each Gaussian of taps ends at 4.75 sigma, where 2e-6 of its area is left; float32 sums.
    np.testing.assert_allclose(part, expected[begin : begin + part.size], atol=1.3e-5)


@settings(max_examples=100, deadline=None)
@given(variance=st.one_of(st.just(0.0), st.floats(1e-9, 60.0)))
def test_discrete_gaussians_have_the_transform_of_gaussians(variance: float) -> None:
    taps = gauss_taps(variance)
    k = np.arange(taps.size) - taps.size // 2
    frequency = np.linspace(0, np.pi / 2, 9)
    transform = np.cos(np.outer(frequency, k)) @ taps
    # The series is short by 3e-6 of w^2 there; sampled ones are cut at 4.75 sigma, and alias by exp(-pi^2 ...) below.
    np.testing.assert_allclose(transform, np.exp(-0.5 * variance * frequency**2), atol=2e-5)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)


# --- what is conserved ------------------------------------------------------------------------------------------------


def lone_line(spread: LineSpread, centre: float, star: Star) -> tuple[Array, Array, float]:
    """Return velocities [km/s] of pixels from the observed line, its share in each, and its own variance."""
    width, edges = 4.0, np.arange(centre - 8.0, centre + 8.0, 0.0142)
    grid = ln_grid(edges[0] * (1 - 300 / C), edges[-1] * (1 + 300 / C), 1.1)
    forward = ForwardModel(grid, edges[:-1], edges[1:], one_arm(spread, edges))
    doppler = np.sqrt((1 + star.vrad / C) / (1 - star.vrad / C))
    profile = np.exp(-0.5 * (C * np.log(grid * doppler / centre) / width) ** 2)

    def see(template: Array) -> Array:
        seen = template.astype(np.float32)
        return forward.observe(seen, vsini=star.vsini, epsilon=star.epsilon, vrad=star.vrad).astype(np.float64)

    velocity = C * np.log(edges / centre)
    taken = (see(np.ones(grid.size)) - see(1 - 0.7 * profile)) * np.diff(velocity)
    share = taken / (0.7 * width * np.sqrt(2 * np.pi))
    return 0.5 * (velocity[1:] + velocity[:-1]), share, width**2 + float(np.diff(velocity)[0]) ** 2 / 12


@pytest.mark.parametrize("centre", [4860.0, 5000.0, 5172.7, 5380.0])
@pytest.mark.parametrize("star", [STARS[0], STARS[2], STARS[3]])
def test_a_line_has_the_width_that_belongs_to_its_wavelength(centre: float, star: Star) -> None:
    velocity, share, variance = lone_line(PAPER, centre, star)
    sigma = sigma_of(PAPER, np.array([centre]))[0]
    slope = 2 * sigma**2 * np.gradient(sigma_of(PAPER, centre * (1 + np.array([-1, 0, 1]) / C)))[1] / sigma  # d s / d v
    # Area: 1 + half the second derivative of sigma^2, 2e-7 here; mean: its first derivative, up to 3 m/s.
    assert share.sum() == pytest.approx(1, abs=1e-5)
    mean = (share * velocity).sum()
    assert mean == pytest.approx(slope, abs=1e-4)
    turning = star.vsini**2 * ((1 - star.epsilon) / 4 + 2 * star.epsilon / 15) / (1 - star.epsilon / 3)
    # The tails beyond 4.75 sigma hold 5e-5 of a Gaussian's variance, at 40 km/s float32's rounding of the flux as much.
    assert (share * (velocity - mean) ** 2).sum() == pytest.approx(sigma**2 + turning + variance, rel=2e-4)


def test_a_flat_spectrum_stays_flat() -> None:
    grid = ln_grid(5150.0, 5230.0, 1.1)
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], one_arm(STEEP, EDGES))
    flux = forward.observe(np.ones(grid.size, dtype=np.float32), vsini=20.0, epsilon=0.6, vrad=100.0)
    np.testing.assert_allclose(flux, 1.0, atol=2e-6)


def test_one_resolution_given_as_a_table_is_that_number_bit_by_bit() -> None:
    grid = ln_grid(5150.0, 5230.0, 1.1)
    template = np.random.default_rng(6).uniform(0, 1, grid.size).astype(np.float32)
    spread = LineSpread(((5100.0, 30_000.0), (5180.0, 30_000.0), (6000.0, 30_000.0)))
    sigma = float(C / 30_000.0 / (2 * np.sqrt(2 * np.log(2))))
    seen = [
        ForwardModel(grid, EDGES[:-1], EDGES[1:], given).observe(template, vsini=7.0, epsilon=0.3, vrad=20.0)
        for given in (one_arm(spread, EDGES), sigma)
    ]
    np.testing.assert_array_equal(*seen)


def test_a_template_without_margin_is_refused_arm_by_arm() -> None:
    grid = ln_grid(5159.0, 5221.0, 1.1)
    forward = ForwardModel(grid, EDGES[:-1], EDGES[1:], one_arm(STEEP, EDGES))
    for vrad in (-150.0, 150.0, 30_000.0):
        with pytest.raises(ValueError, match="does not cover the instrument's range plus margin"):
            forward.observe(np.ones(grid.size, dtype=np.float32), vsini=10.0, epsilon=0.6, vrad=vrad)
