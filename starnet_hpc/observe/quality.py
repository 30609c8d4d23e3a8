"""How good an observed spectrum is: its signal-to-noise ratio."""

import numpy as np
from numpy.typing import NDArray

_MAD_TO_SIGMA = 1.482602
_LAG = 2
"""Pixels compared are this far apart, since neighbours of a resampled spectrum share their noise."""
_FEWEST = 50
"""Fewer usable pixels than this give no estimate."""


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
