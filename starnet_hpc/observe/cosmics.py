"""Cosmic particles in an observed spectrum: pixels above what their neighbours, the noise and the resolution allow.

A particle hits one or two pixels; whatever the star or the sky sends has been through the spectrograph, and is as wide
as its line spread function. So each pixel is compared with a parabola through the pixels two to four away on both
sides. It is a spike if it stands above it by more than the noise explains (the scatter of this very difference), and by
more than the sharpest feature of the resolution would, with the contrast that there is around it: emission cores and
gaps between deep lines pass.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

_F8 = NDArray[np.float64]

_NODES = np.array([2.0, 3.0, 4.0])
"""Distances of the pixels that the parabola goes through: a spike of up to three pixels leaves them alone."""
_REACH = 4
_SIGMAS = 5.0
"""Gaussian noise exceeds this in 3e-7 of all pixels."""
_SMALLEST = 0.02
"""Share of the flux around it that a spike has at least. Less does no harm (training noise goes to 7 %), and spectra of
the highest S/N have corners of such a size where a pipeline interpolated."""
_SHARPEST = 0.9
"""Widths of features, over that of the line spread function, that are still taken for real: it is never quite known."""
_WIDTHS = 17
"""Widths of the line spread function that the sharpest feature is worked out for; others lie between."""
_BLOCK = 1024
"""Pixels over which the noise is taken as constant."""
_MAD_TO_SIGMA = 1.482602
_ROUNDS = 6
"""At most; each takes the highest pixel of a spike away, so that the next sees the others as they are."""
_EDGE = 1
"""Pixels on each side of a spike that go with it."""


def cosmic_spikes(flux: _F8, usable: NDArray[np.bool_], fwhm: _F8 | float) -> NDArray[np.bool_]:
    """Return which pixels [n] a cosmic particle has spoilt, with a pixel on each side.

    Pixels are judged whose neighbours up to four away are all usable.

    Args:
        flux: mean flux in pixels that follow each other [n], any unit.
        usable: pixels [n] that are not bad or missing for another reason.
        fwhm: full width at half maximum of the line spread function, in pixels: everywhere the same, or of each [n].
    """
    hit = np.zeros(flux.size, dtype=bool)
    if flux.size <= 2 * _REACH:
        return hit
    judged: NDArray[np.bool_] = np.all(np.lib.stride_tricks.sliding_window_view(usable, 2 * _REACH + 1), axis=1)
    clean = _bridged(flux, usable)
    widths = np.broadcast_to(np.asarray(fwhm, dtype=np.float64), flux.shape)
    allowed = _sharpest_features(widths, judged)
    reach = np.maximum(np.rint(widths), _REACH).astype(np.int64) + _REACH
    for _ in range(_ROUNDS):
        expected = _parabola(clean)
        above = clean[_REACH:-_REACH] - expected
        noise = np.maximum(_scatter(above, judged), _SMALLEST / _SIGMAS * np.abs(expected))
        candidate = judged & ~hit[_REACH:-_REACH] & (above > _SIGMAS * noise)
        # A strong spike bends the parabolas of pixels that it is a node of: only the highest is believed in a round.
        found = np.flatnonzero(candidate & (above >= _highest_around(np.where(hit[_REACH:-_REACH], 0.0, above))))
        contrast = _contrast(clean, usable, found + _REACH, reach[found + _REACH])
        found = found[above[found] > np.hypot(_SIGMAS * noise[found], allowed[found] * contrast)]
        if found.size == 0:
            break
        hit[found + _REACH] = True
        clean = _bridged(flux, usable & ~hit)
    for _ in range(_EDGE):
        hit[1:] |= hit[:-1].copy()
        hit[:-1] |= hit[1:].copy()
    return hit & usable


def _bridged(flux: _F8, sound: NDArray[np.bool_]) -> _F8:
    """Return flux [n] with straight lines across what is not sound."""
    if not sound.any():
        return np.zeros(flux.size)
    clean = np.where(sound, flux, 0.0)
    holes, rest = np.flatnonzero(~sound), np.flatnonzero(sound)
    clean[holes] = np.interp(holes, rest, flux[rest])
    return clean


def _highest_around(above: _F8) -> _F8:
    """Return the highest value [n] among the pixels whose parabolas share a node with each pixel's."""
    highest: _F8 = maximum_filter1d(above, 4 * _REACH + 1, mode="constant")
    return highest


def _weights() -> _F8:
    """Weights of each pair of nodes in the value that the least-squares parabola has at the centre."""
    square = _NODES**2
    away = square - square.mean()
    weights: _F8 = 0.5 * (1.0 / _NODES.size - square.mean() * away / (away @ away))
    return weights


def _parabola(flux: _F8) -> _F8:
    """Return what the nodes say of the pixel between them [n - 2 reach]."""
    n = flux.size
    total = np.zeros(n - 2 * _REACH)
    for node, weight in zip(_NODES.astype(int), _weights(), strict=True):
        total += weight * (flux[_REACH - node : n - _REACH - node] + flux[_REACH + node : n - _REACH + node])
    return total


def _scatter(above: _F8, judged: NDArray[np.bool_]) -> _F8:
    """Return the standard deviation of differences [n] from the median of their sizes, block by block."""
    sizes = np.where(judged, np.abs(above), np.nan)
    blocks = max(sizes.size // _BLOCK, 1)
    ends = np.linspace(0, sizes.size, blocks + 1).astype(int)
    noise = np.full(sizes.size, np.inf)
    for begin, end in pairwise(ends):
        known = sizes[begin:end][judged[begin:end]]
        if known.size:
            noise[begin:end] = _MAD_TO_SIGMA * np.median(known)
    return noise


def _sharpest_features(fwhm: _F8, judged: NDArray[np.bool_]) -> _F8:
    """Return `_sharpest_feature` for the pixels that are judged [n - 2 reach], from the widths at all [n]."""
    widths = np.where(judged, fwhm[_REACH:-_REACH], np.median(fwhm))
    nodes = np.linspace(widths.min(), widths.max(), _WIDTHS)
    return np.interp(widths, nodes, [_sharpest_feature(float(node)) for node in nodes])


def _sharpest_feature(fwhm: float) -> float:
    """Return how far a Gaussian of depth or height 1 can stand off from the parabola."""
    sigma = _SHARPEST * fwhm / np.sqrt(8.0 * np.log(2.0))
    centre = np.linspace(-3.0 * sigma - _REACH, 3.0 * sigma + _REACH, 801)

    def profile(offset: float) -> _F8:
        shape: _F8 = np.exp(-0.5 * ((centre + offset) / sigma) ** 2)
        return shape

    expected = sum(weight * (profile(node) + profile(-node)) for node, weight in zip(_NODES, _weights(), strict=True))
    return float(np.abs(profile(0.0) - expected).max())


def _contrast(flux: _F8, usable: NDArray[np.bool_], places: NDArray[np.int64], reaches: NDArray[np.int64]) -> _F8:
    """Return highest less lowest usable flux within reach of each place, the place and its neighbours left out."""
    contrast = np.zeros(places.size)
    for reach in np.unique(reaches).tolist():
        here = reaches == reach
        padded = np.pad(np.where(usable, flux, np.nan), reach, constant_values=np.nan)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)[places[here]]
        around[:, reach - 1 : reach + 2] = np.nan
        contrast[here] = np.nanmax(around, axis=1) - np.nanmin(around, axis=1)
    return contrast
