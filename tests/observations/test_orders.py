"""Echelle orders: merged with inverse-variance weights where they overlap, and untouched where they do not."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.kernels.rebin import pixel_edges
from starnet_hpc.observations.orders import Pixels, merge_orders, order_starts

STEP = 0.03


def order(start: float, count: int, *, level: float = 1.0, sigma: float = 0.01, seed: int | None = None) -> Pixels:
    wavelength = start + STEP * np.arange(count)
    flux = level * (1.0 + 0.2 * np.sin(wavelength / 0.7))
    if seed is not None:
        flux = flux + np.random.default_rng(seed).normal(0.0, sigma, count)
    return Pixels(wavelength, flux, np.full(count, sigma), np.zeros(count, dtype=bool))


def merged(*orders: Pixels) -> Pixels:
    pixels = Pixels(
        *(np.concatenate([getattr(one, name) for one in orders]) for name in ("wavelength", "flux", "error", "bad"))
    )
    starts = order_starts(pixels.wavelength)
    assert len(starts) == len(orders)
    return merge_orders(pixels, starts, Path("star.s"))


def test_outside_overlaps_nothing_changes_and_inside_pixels_keep_their_width() -> None:
    left, right = order(5000.0, 400), order(5009.007, 400)  # not in step
    whole = merged(left, right)
    assert np.isin(left.wavelength[:299], whole.wavelength).all()
    np.testing.assert_array_equal(whole.flux[:299], left.flux[:299])
    np.testing.assert_array_equal(whole.flux[-290:], right.flux[-290:])
    np.testing.assert_allclose(np.diff(whole.wavelength), STEP, rtol=0.01)
    assert not whole.bad.any()
    edges, _ = pixel_edges(whole.wavelength)
    assert edges.size == whole.wavelength.size + 1  # no gap is seen where orders meet
    # The rebinned sine errs by its fourth derivative times the pixel to the fourth: far below 1e-6.
    np.testing.assert_allclose(whole.flux, 1.0 + 0.2 * np.sin(whole.wavelength / 0.7), atol=1e-5)


def test_the_better_order_counts_more() -> None:
    whole = merged(order(5000.0, 400, level=1.0, sigma=0.01), order(5009.0, 400, level=2.0, sigma=0.02))
    inside = (whole.wavelength > 5009.1) & (whole.wavelength < 5011.9)
    shape = 1.0 + 0.2 * np.sin(whole.wavelength[inside] / 0.7)
    np.testing.assert_allclose(whole.flux[inside], (1.0 * 4 + 2.0 * 1) / 5 * shape, rtol=1e-4)
    np.testing.assert_allclose(
        whole.error[inside], 1 / np.sqrt(1 / 0.01**2 + 1 / 0.02**2), rtol=0.01
    )  # its pixels are up to 1 % narrower


def test_noise_in_the_overlap_is_what_the_errors_say() -> None:
    whole = merged(order(5000.0, 9000, seed=1), order(5000.02, 9001, sigma=0.02, seed=2))
    residual = (whole.flux - (1.0 + 0.2 * np.sin(whole.wavelength / 0.7))) / whole.error
    # Orders half a pixel out of step are interpolated, which lowers the scatter of single pixels, never raises it.
    assert 0.8 < residual[10:-10].std() < 1.05


def test_a_bad_pixel_of_one_order_is_filled_by_the_other() -> None:
    left, right = order(5000.0, 400), order(5009.0, 400)
    left.bad[350], left.flux[350] = True, 1e9
    whole = merged(left, right)
    assert not whole.bad.any()
    assert whole.flux.max() < 1.3
    right.error[40:60] = 0.0  # the same place
    assert np.count_nonzero(merged(left, right).bad) in (1, 2)


def test_orders_may_come_from_red_to_blue_and_with_gaps() -> None:
    blue, middle, red = order(5000.0, 200), order(5005.0, 200), order(5020.0, 200)
    forth = merged(red, middle, blue)
    assert (np.diff(forth.wavelength) > 0).all()
    assert not ((forth.wavelength > 5011.0) & (forth.wavelength < 5020.0)).any()


def test_rows_in_disorder_are_no_orders() -> None:
    wavelength = 5000.0 + STEP * np.arange(100)
    wavelength[50] = 5000.0
    assert order_starts(wavelength) == [0]
    assert order_starts(np.linspace(2.0, 1.0, 100)) == [0]


def test_two_spectra_in_one_file_and_repeated_wavelengths_are_refused() -> None:
    with pytest.raises(ObservationFormatError, match=r"from 5000\.99 to 5003\.99 A lies inside another one"):
        merged(order(5000.0, 400), order(5001.0, 100))
    twice = order(5000.0, 400)
    twice.wavelength[9] = twice.wavelength[8]
    with pytest.raises(ObservationFormatError, match=r"star\.s: the wavelength of pixel 9, 5000\.2400 A, repeats"):
        merged(twice, order(5009.0, 400))
