"""Flux-conserving rebinning of observed spectra, whose fluxes are averages over pixels.

The cumulative flux is known exactly at the edges of the observed pixels. Between them it is taken as the cubic whose
slopes at the edges (the flux there) come from the four nearest pixels (Colella & Woodward 1984, J. Comput. Phys. 54,
174, eq. 1.6), limited so that it is monotonic where the fluxes have one sign: no wiggle makes a flux negative. What an
output pixel gets is the difference of the cumulative flux between its edges.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_GAP = 1.5
"""A step this many times larger than the regular one before it, or than the one behind it, is a gap."""


def pixel_edges(centres: _Array) -> tuple[_Array, NDArray[np.int64]]:
    """Return the edges of contiguous pixels around given centres, with a pixel of its own for every gap.

    Args:
        centres: pixel centres [n], n >= 3, increasing.

    Returns:
        Edges [n + gaps + 1], and the place [n] of each given pixel among the n + gaps.
    """
    edges, place, count = _pixel_edges(np.ascontiguousarray(centres, dtype=np.float64))
    return edges[: count + 1], place


def rebin(edges: _Array, flux: _Array, bad: NDArray[np.bool_], lower: _Array, upper: _Array) -> tuple[_Array, _Array]:
    """Return the mean flux in other pixels, and the share of each that rests on bad or missing pixels.

    Args:
        edges: of the observed pixels [n + 1], increasing, any unit.
        flux: mean flux (per unit of the edges) in each observed pixel [n]; anything where `bad`.
        bad: observed pixels [n] not to be used; they are bridged linearly, so that neighbours are not disturbed.
        lower: lower edges of the wanted pixels [m], increasing.
        upper: upper edges of the wanted pixels [m].

    Returns:
        Mean flux [m] (0 in pixels outside the observed range) and share 0..1 [m].
    """
    if bad.all():
        return np.zeros(lower.size), np.ones(lower.size)
    centres = 0.5 * (edges[1:] + edges[:-1])
    whole = np.where(bad, 0.0, flux)
    whole[bad] = np.interp(centres[bad], centres[~bad], flux[~bad])
    mean, share = _rebin(edges, whole, bad, _edge_flux(edges, whole), lower, upper)
    return mean, share


@njit(cache=True, nogil=True)
def _edge_flux(edges: _Array, flux: _Array) -> _Array:
    """Flux at the edges [n + 1]: the slope of the quartic through five values of the cumulative flux, then limited."""
    n = flux.size
    out = np.empty(n + 1)
    for e in range(2, n - 1):
        out[e] = _inner_slope(edges, flux, e)
    for e in (0, 1, n - 1, n):
        if 0 <= e <= n:
            out[e] = _slope(edges, flux, e, min(max(e - 2, 0), max(n - 4, 0)), min(4, n))
    for e in range(n + 1):
        below = flux[max(e - 1, 0)]
        above = flux[min(e, n - 1)]
        # Fritsch & Carlson (1980): a cubic with both end slopes within 0 to 3 times the mean slope is monotonic.
        if below >= 0.0 and above >= 0.0:
            out[e] = min(max(out[e], 0.0), 3.0 * min(below, above))
        elif below <= 0.0 and above <= 0.0:
            out[e] = max(min(out[e], 0.0), 3.0 * max(below, above))
    return out


@njit(cache=True, nogil=True)
def _inner_slope(edges: _Array, flux: _Array, e: int) -> float:
    """Derivative at `e` of the quartic through the cumulative flux at the five edges around it (eq. 1.6)."""
    w0, w1, w2, w3 = (
        edges[e - 1] - edges[e - 2],
        edges[e] - edges[e - 1],
        edges[e + 1] - edges[e],
        edges[e + 2] - edges[e + 1],
    )
    f0, f1, f2, f3 = flux[e - 2], flux[e - 1], flux[e], flux[e + 1]
    rise0, rise1, rise2 = (f1 - f0) / (w0 + w1), (f2 - f1) / (w1 + w2), (f3 - f2) / (w2 + w3)
    # Average slopes of the two pixels at the edge, times their widths (eq. 1.7).
    left = w1 / (w0 + w1 + w2) * ((2.0 * w0 + w1) * rise1 + (w1 + 2.0 * w2) * rise0)
    right = w2 / (w1 + w2 + w3) * ((2.0 * w1 + w2) * rise2 + (w2 + 2.0 * w3) * rise1)
    reach_left, reach_right = (w0 + w1) / (2.0 * w1 + w2), (w2 + w3) / (2.0 * w2 + w1)
    correction = 2.0 * w2 * w1 * (reach_left - reach_right) * rise1 - w1 * reach_left * right + w2 * reach_right * left
    return float(f1 + w1 * rise1 + correction / (w0 + w1 + w2 + w3))


@njit(cache=True, nogil=True)
def _slope(edges: _Array, flux: _Array, e: int, first: int, count: int) -> float:
    """Derivative at edge `e` of the polynomial through the cumulative flux at edges `first` to `first + count`."""
    x = edges[e]
    total = 0.0
    slope = 0.0
    for k in range(first + 1, first + count + 1):
        total += flux[k - 1] * (edges[k] - edges[k - 1])
        # Derivative at x of the Lagrange basis polynomial of edge k; that of edge `first` meets a value of 0.
        basis = 0.0
        for m in range(first, first + count + 1):
            if m == k:
                continue
            product = 1.0 / (edges[k] - edges[m])
            for j in range(first, first + count + 1):
                if j not in (k, m):
                    product *= (x - edges[j]) / (edges[k] - edges[j])
            basis += product
        slope += total * basis
    return slope


@njit(cache=True, nogil=True)
def _rebin(
    edges: _Array, flux: _Array, bad: NDArray[np.bool_], at_edge: _Array, lower: _Array, upper: _Array
) -> tuple[_Array, _Array]:
    n = flux.size
    mean = np.zeros(lower.size)
    share = np.ones(lower.size)
    k = 0
    place, before = -np.inf, 0.0  # where the last pixel ended, and what observed pixel k holds up to there
    for p in range(lower.size):
        low, high = max(lower[p], edges[0]), min(upper[p], edges[n])
        if not high > low:
            continue
        if low != place:
            while edges[k] > low:
                k -= 1
            while edges[k + 1] <= low:
                k += 1
            before = _part(edges, flux, at_edge, k, low)
        total, good = -before, 0.0
        begin = low
        while k < n - 1 and edges[k + 1] <= high:
            total += flux[k] * (edges[k + 1] - edges[k])
            if not bad[k]:
                good += edges[k + 1] - begin
            k += 1
            begin = edges[k]
        before = _part(edges, flux, at_edge, k, high)
        if not bad[k]:
            good += high - begin
        mean[p] = (total + before) / (high - low)
        share[p] = max(1.0 - good / (upper[p] - lower[p]), 0.0)
        place = high
    return mean, share


@njit(cache=True, nogil=True)
def _part(edges: _Array, flux: _Array, at_edge: _Array, k: int, x: float) -> float:
    """Cumulative flux from the lower edge of observed pixel k up to x inside it."""
    # F(t) = width (s0 t + (3 f - 2 s0 - s1) t^2 + (s0 + s1 - 2 f) t^3) for t = 0..1: F(1) = f width, F' = s0 and s1.
    width = edges[k + 1] - edges[k]
    t = (x - edges[k]) / width
    f, s0, s1 = flux[k], at_edge[k], at_edge[k + 1]
    return float(width * t * (s0 + t * (3.0 * f - 2.0 * s0 - s1 + t * (s0 + s1 - 2.0 * f))))


@njit(cache=True, nogil=True)
def _pixel_edges(centres: _Array) -> tuple[_Array, NDArray[np.int64], int]:
    n = centres.size
    edges = np.empty(2 * n)
    place = np.empty(n, dtype=np.int64)
    # Half the width of the last regular pixel, which is also that of a pixel before a gap.
    half = 0.5 * min(centres[1] - centres[0], centres[2] - centres[1])
    edges[0] = centres[0] - half
    place[0] = 0
    count = 1
    for i in range(1, n):
        step = centres[i] - centres[i - 1]
        after = step if i == n - 1 else centres[i + 1] - centres[i]
        if step > _GAP * min(2.0 * half, after):
            most = 0.45 * step  # the gap keeps a width, however pixels grow or shrink across it
            edges[count] = centres[i - 1] + min(half, most)
            count += 1
            edges[count] = centres[i] - min(half, 0.5 * after, most)
        else:
            half = 0.5 * step
            edges[count] = 0.5 * (centres[i - 1] + centres[i])
        place[i] = count
        count += 1
    edges[count] = centres[n - 1] + half
    return edges, place, count
