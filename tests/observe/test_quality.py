"""Signal-to-noise estimates against noise that is known."""

import numpy as np
import pytest

from starnet_hpc.observe.quality import snr_from_errors, snr_from_scatter


@pytest.mark.parametrize("snr", [5.0, 50.0, 500.0])
def test_the_scatter_gives_the_snr_of_white_noise(snr: float) -> None:
    flux = 1.0 + np.random.default_rng(1).normal(0.0, 1.0 / snr, 20_000)
    # The median of 20,000 absolute differences is known to about 1 %.
    assert snr_from_scatter(flux, np.ones(flux.size, dtype=bool)) == pytest.approx(snr, rel=0.03)


def test_slopes_and_bad_pixels_do_not_count_as_noise() -> None:
    flux = np.linspace(1.0, 3.0, 5000) + np.random.default_rng(2).normal(0.0, 0.02, 5000)
    usable = np.ones(5000, dtype=bool)
    usable[1000:1100] = False
    flux[1000:1100] = np.nan
    assert snr_from_scatter(flux, usable) == pytest.approx(100.0, rel=0.05)


def test_too_few_pixels_give_no_estimate() -> None:
    few = np.ones(30)
    assert np.isnan(snr_from_scatter(few, np.ones(30, dtype=bool)))
    assert np.isnan(snr_from_errors(few, few, np.ones(30, dtype=bool)))


def test_errors_give_the_median_ratio() -> None:
    flux, error = np.full(100, 30.0), np.full(100, 3.0)
    error[:10] = 0.0
    assert snr_from_errors(flux, error, np.ones(100, dtype=bool)) == 10.0
