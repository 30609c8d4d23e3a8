"""Flux-conserving rebinning of observed spectra, whose fluxes are averages over pixels.

The cumulative flux is known exactly at the edges of the observed pixels. Between them it is taken as the cubic whose slopes
at the edges (the flux there) come from the four nearest pixels (Colella & Woodward 1984, J. Comput. Phys. 54, 174, eq. 1.6,
generalised to unequal widths), limited so that it is monotonic where the fluxes have one sign: no wiggle makes a flux
negative. What an output pixel gets is the difference of the cumulative flux between its edges.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_GAP = 1.5
"""A step this many times larger than the steps on either side of it is a gap, not a wide pixel."""


def pixel_edges(centres: _Array) -> tuple[_Array, NDArray[np.int64]]:
    """Return the edges of contiguous pixels around given centres, with a pixel of its own for every gap.

    Args:
        centres: pixel centres [n], n >= 3, increasing.

    Returns:
        Edges [n + gaps + 1], and the place [n] of each given pixel among the n + gaps.
    """
    step = np.diff(centres)
    left, right = np.append(step[0], step[:-1]), np.append(step[1:], step[-1])
    gap = step > _GAP * np.maximum(np.minimum(left, right), 1e-12)
    # A gap's neighbours may be gaps, too; a half-width comes from the nearest step that is none.
    regular = np.flatnonzero(~gap)
    if regular.size == 0:
        raise ValueError("no two pixels are neighbours")
    nearest = regular[np.abs(np.searchsorted(regular, np.arange(step.size)).clip(0, regular.size - 1))]
    half = 0.5 * step[nearest]
    upper = centres[:-1] + np.where(gap, np.minimum(half, 0.5 * step), 0.5 * step)
    lower = centres[1:] - np.where(gap, np.minimum(half, 0.5 * step), 0.5 * step)
    inner = np.stack([upper, lower], axis=1)[np.stack([np.ones_like(gap), gap], axis=1)]
    edges = np.concatenate([[centres[0] - 0.5 * step[0]], inner, [centres[-1] + 0.5 * step[-1]]])
    return edges, np.arange(centres.size) + np.concatenate([[0], np.cumsum(gap)])


def rebin(
    edges: _Array, flux: _Array, bad: NDArray[np.bool_], lower: _Array, upper: _Array
) -> tuple[_Array, _Array]:
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


@njit(cache=True)
def _edge_flux(edges: _Array, flux: _Array) -> _Array:
    """Flux at the edges [n + 1]: slope there of the quartic through five values of the cumulative flux, then limited."""
    n = flux.size
    out = np.empty(n + 1)
    for e in range(n + 1):
        first = min(max(e - 2, 0), max(n - 4, 0))
        count = min(4, n)
        out[e] = _slope(edges, flux, e, first, count)
    for e in range(n + 1):
        below = flux[max(e - 1, 0)]
        above = flux[min(e, n - 1)]
        # Fritsch & Carlson (1980): a cubic with both end slopes within 0 to 3 times the mean slope is monotonic.
        if below >= 0.0 and above >= 0.0:
            out[e] = min(max(out[e], 0.0), 3.0 * min(below, above))
        elif below <= 0.0 and above <= 0.0:
            out[e] = max(min(out[e], 0.0), 3.0 * max(below, above))
    return out


@njit(cache=True)
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


@njit(cache=True)
def _rebin(
    edges: _Array, flux: _Array, bad: NDArray[np.bool_], at_edge: _Array, lower: _Array, upper: _Array
) -> tuple[_Array, _Array]:
    n = flux.size
    mean = np.zeros(lower.size)
    share = np.ones(lower.size)
    i = 0
    for p in range(lower.size):
        low, high = max(lower[p], edges[0]), min(upper[p], edges[n])
        if not high > low:
            continue
        while i > 0 and edges[i] > low:
            i -= 1
        while edges[i + 1] <= low:
            i += 1
        total = 0.0
        good = 0.0
        k = i
        while k < n and edges[k] < high:
            a, b = max(low, edges[k]), min(high, edges[k + 1])
            total += _part(edges, flux, at_edge, k, a, b)
            if not bad[k]:
                good += b - a
            k += 1
        mean[p] = total / (high - low)
        share[p] = 1.0 - good / (upper[p] - lower[p])
    return mean, share


@njit(cache=True)
def _part(edges: _Array, flux: _Array, at_edge: _Array, k: int, a: float, b: float) -> float:
    """Cumulative flux from a to b, both inside pixel k; the whole pixel gives its flux times its width, exactly."""
    width = edges[k + 1] - edges[k]
    if a == edges[k] and b == edges[k + 1]:
        return flux[k] * width
    # F(t) = width (s0 t + (3 f - 2 s0 - s1) t^2 + (s0 + s1 - 2 f) t^3) for t = 0..1: F(1) = f width, F' = s0 and s1.
    s0, s1 = at_edge[k], at_edge[k + 1]
    square, cube = 3.0 * flux[k] - 2.0 * s0 - s1, s0 + s1 - 2.0 * flux[k]
    t, u = (a - edges[k]) / width, (b - edges[k]) / width
    return width * (u * (s0 + u * (square + u * cube)) - t * (s0 + t * (square + t * cube)))
