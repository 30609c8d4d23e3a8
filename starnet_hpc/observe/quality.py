"""How good an observed spectrum is: its signal-to-noise ratio, and pixels that a cosmic particle hit."""

import numpy as np
from numpy.typing import NDArray

_MAD_TO_SIGMA = 1.482602
_LAG = 2
"""Pixels compared are this far apart, since neighbours of a resampled spectrum share their noise."""
_FEWEST = 50
"""Fewer usable pixels than this give no estimate."""
_SPIKE_SIGMAS = 5.0
"""One of 39,436 Gaussian pixels exceeds this in about one spectrum of 90."""
_SMALLEST_SIGMA = 0.02
"""Relative noise assumed at least: where a continuum is a few per cent too low, what stands above it is no spike."""
_SPIKE_EDGE = 2
"""Pixels on each side of a spike that go with it."""


def snr_from_errors(flux: NDArray[np.float64], error: NDArray[np.float64], usable: NDArray[np.bool_]) -> float:
    """Return the median of flux over error [n] in usable pixels [n]; NaN if there are too few."""
    chosen = usable & (error > 0) & np.isfinite(error)
    return float(np.median(flux[chosen] / error[chosen])) if np.count_nonzero(chosen) >= _FEWEST else float("nan")


def snr_from_scatter(flux: NDArray[np.float64], usable: NDArray[np.bool_]) -> float:
    """Return the signal-to-noise ratio [n] by DER_SNR; NaN if there are too few usable pixels [n].

    The noise is the median second difference of pixels two apart (Stoehr et al. 2008, ST-ECF Newsletter 42, 4): too
    large where lines crowd, too small where a spectrum was smoothed, so that pixels further apart share their noise.
    """
    if flux.size < _FEWEST:
        return float("nan")
    centre, left, right = slice(_LAG, -_LAG), slice(None, -2 * _LAG), slice(2 * _LAG, None)
    chosen = usable[centre] & usable[left] & usable[right]
    if np.count_nonzero(chosen) < _FEWEST:
        return float("nan")
    second = np.abs(2.0 * flux[centre] - flux[left] - flux[right])[chosen]
    noise = _MAD_TO_SIGMA / np.sqrt(6.0) * float(np.median(second))
    signal = float(np.median(flux[usable]))
    return signal / noise if noise > 0 and signal > 0 else float("nan")


def spikes(normalised: NDArray[np.float32], usable: NDArray[np.bool_], snr: float, fwhm: float) -> NDArray[np.bool_]:
    """Return which pixels [n] belong to spikes: far above the continuum, and above what surrounds them.

    Args:
        normalised: flux over continuum [n].
        usable: pixels [n] that are not masked for another reason.
        snr: signal-to-noise ratio a pixel; NaN if unknown.
        fwhm: width of the line spread function in pixels; what is wider than this is the star's, not a particle's.
    """
    flux = normalised.astype(np.float64)
    worst = np.nanmin([snr, snr_from_scatter(flux, usable), 1.0 / _SMALLEST_SIGMA])
    threshold = _SPIKE_SIGMAS / max(float(worst), 1.0)
    candidates = np.flatnonzero(usable & (flux > 1.0 + threshold))
    reach = max(3, round(fwhm))
    hit = np.zeros(flux.size, dtype=bool)
    if candidates.size == 0:
        return hit
    padded = np.pad(np.where(usable, flux, np.nan), reach, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)[candidates]
    hit[candidates[flux[candidates] - np.nanmedian(around, axis=1) > threshold]] = True
    for _ in range(_SPIKE_EDGE):
        hit[1:] |= hit[:-1].copy()
        hit[:-1] |= hit[1:].copy()
    return hit & usable
