"""Spikes: found where the noise and the resolution rule everything else out, and hardly ever where nothing is."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from starnet_hpc.observe.cosmics import cosmic_spikes

PIXELS = 39_436
FWHM = 7.65
"""Pixels a resolution element at R = 47,000, 5115 A and 0.0142 A pixels."""


def clean_star(seed: int, fwhm: float = FWHM) -> NDArray[np.float64]:
    """Return a spectrum [PIXELS] crowded with sharp lines, as a spectrograph makes them.

    One line in 13 pixels (0.19 A) on average, of equivalent widths up to half a resolution element.
    """
    rng = np.random.default_rng([7, seed])
    absorbed = np.zeros(PIXELS)
    np.add.at(absorbed, rng.integers(0, PIXELS, 3000), 0.5 * fwhm * rng.random(3000) ** 3)
    return gaussian_filter1d(1.0 - np.minimum(absorbed, 1.0), fwhm / np.sqrt(8 * np.log(2)), truncate=6.0)


def found(flux: NDArray[np.float64], fwhm: float = FWHM) -> NDArray[np.bool_]:
    return cosmic_spikes(flux, np.ones(flux.size, dtype=bool), fwhm)


@pytest.mark.parametrize(
    ("fwhm", "snr"),
    [(2.6, 15.0), (2.6, 100.0), *((fwhm, snr) for fwhm in (FWHM, 11.0) for snr in (15.0, 100.0, np.inf))],
)
def test_less_than_one_pixel_in_ten_thousand_of_a_clean_star_is_masked(snr: float, fwhm: float) -> None:
    """Also without any noise, where only the resolution, if it is well sampled, speaks for the gaps between lines."""
    masked = 0
    for seed in range(6):
        noise = np.random.default_rng([8, seed]).normal(0.0, 1.0 / snr, PIXELS)
        masked += int(np.count_nonzero(found(clean_star(seed, fwhm) + noise, fwhm)))
    assert masked < 1e-4 * 6 * PIXELS


@pytest.mark.parametrize(("sigmas", "least"), [(10.0, 0.85), (15.0, 0.95), (40.0, 0.99)])
def test_spikes_of_ten_sigma_are_found_wherever_they_fall(sigmas: float, least: float) -> None:
    hits = total = 0
    for seed, snr in enumerate((30.0, 60.0, 100.0, 200.0)):
        rng = np.random.default_rng([9, seed])
        flux = clean_star(seed) + rng.normal(0.0, 1.0 / snr, PIXELS)
        places = rng.choice(np.arange(20, PIXELS - 20, 40), 300, replace=False)
        flux[places] += sigmas / snr
        hits += int(np.count_nonzero(found(flux)[places]))
        total += places.size
    assert hits / total > least


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_spike_goes_with_a_pixel_on_each_side_and_nothing_else(width: int) -> None:
    flux = 1.0 + np.random.default_rng(1).normal(0.0, 0.01, 2000)
    flux[1000 : 1000 + width] += 5.0
    assert np.flatnonzero(found(flux)).tolist() == list(range(999, 1001 + width))


def test_emission_cores_and_edges_of_the_resolution_are_the_stars_own() -> None:
    pixels = np.arange(4000.0)
    sigma = FWHM / np.sqrt(8 * np.log(2))

    def line(centre: float, height: float, width: float = sigma) -> NDArray[np.float64]:
        return height * np.exp(-0.5 * ((pixels - centre) / width) ** 2)

    flux = 1.0 - line(500, 0.9, 60.0) + line(500, 0.8)  # an emission core in a strong line
    flux += line(1000, 3.0)  # a nebular line
    flux -= line(1500, 0.9) + line(1500 + 2.2 * sigma, 0.9)  # a gap between deep lines
    flux *= 1.0 - 0.7 * ndtr((pixels - 2500) / sigma)  # an edge, as sharp as the spectrograph makes it
    assert not found(flux).any()
    assert not found(flux + np.random.default_rng(2).normal(0.0, 0.005, 4000)).any()


def test_small_spikes_in_the_best_spectra_are_left() -> None:
    """1 % is far below the noise that training adds; a network cannot tell."""
    flux = 1.0 + np.random.default_rng(3).normal(0.0, 1e-4, 2000)
    flux[1000] += 0.01
    assert not found(flux).any()
    flux[1000] += 0.02
    assert found(flux)[1000]


def test_a_gap_between_lines_is_the_stars_where_the_line_spread_is_as_narrow_and_a_particles_where_it_is_wider() -> (
    None
):
    pixels = np.arange(2000)
    flux = 1.0 + np.random.default_rng(5).normal(0.0, 0.003, 2000)
    for at in (496.5, 503.5, 1496.5, 1503.5):
        flux -= 0.8 * np.exp(-0.5 * ((pixels - at) / 1.5) ** 2)  # 3.5 pixels wide
    hit = cosmic_spikes(flux, np.ones(2000, dtype=bool), np.where(pixels < 1000, 3.5, 10.0))
    assert not hit[:1000].any()
    assert hit[1490:1510].any()


def test_neighbours_of_bad_pixels_are_not_judged_and_bad_pixels_never_returned() -> None:
    flux = 1.0 + np.random.default_rng(4).normal(0.0, 0.01, 2000)
    usable = np.ones(2000, dtype=bool)
    usable[500], flux[500] = False, 1e9
    flux[503] += 1.0
    hit = cosmic_spikes(flux, usable, FWHM)
    assert not hit.any()
    assert not cosmic_spikes(flux[:8], usable[:8], FWHM).any()
    assert not cosmic_spikes(flux, np.zeros(2000, dtype=bool), FWHM).any()


def test_the_unit_of_the_flux_does_not_matter() -> None:
    flux = clean_star(1) + np.random.default_rng(5).normal(0.0, 0.02, PIXELS)
    flux[100:PIXELS:500] += 0.5
    np.testing.assert_array_equal(found(flux), found(2.0**-60 * flux))
