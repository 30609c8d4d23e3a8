"""Continuum by asymmetric sigma clipping in segments, and a cubic spline through their levels.

Appendix A of Bialek et al. (2020). In each segment of 10 A the median is found and pixels far below (0.5 sigma: lines)
and above (2 sigma: noise) are rejected, until nothing more is; the mean of what is left is the segment's level.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_I8 = NDArray[np.int64]
_Mask = NDArray[np.bool_]

_LEAST_SHARE = 0.25
"""A segment with a smaller share of usable pixels tells nothing, and the spline bridges it."""
LEAST_PIXELS = 8
"""A segment with fewer usable pixels tells nothing either."""
_ROUGHNESS, _SLOPE = 1e-5, 1e-9
"""Weights of the spline's squared second and first differences, against 1 for the levels: where there are no levels it
goes straight on, and level if there is but one; and the fit is well posed whichever segments are missing."""
_SWING = 0.5
"""The continuum stays within this share of its lowest level below it, and of its highest above it."""


class SegmentContinuum:
    """The continuum of spectra on one set of pixels."""

    def __init__(
        self,
        wavelength: _F8,
        avoid: _Mask,
        *,
        segment: float = 10.0,
        clip: tuple[float, float] = (0.5, 2.0),
        knot_spacing: float = 30.0,
    ) -> None:
        """Prepare everything that depends on the pixels alone.

        Args:
            wavelength: pixel centres [pixels], angstrom, increasing; a gap wider than a segment separates arms, each
                with a spline of its own.
            avoid: pixels [pixels] that must not be used (strong lines).
            segment: width of a segment, angstrom.
            clip: rejected are pixels more than `clip[0]` sigma below and `clip[1]` sigma above the median.
            knot_spacing: distance of the spline's knots, angstrom; rounded so that knots divide each arm equally.
        """
        self._clip = clip
        self._first, self._last = _segments(wavelength, segment)
        self._allowed = ~np.asarray(avoid, dtype=bool)
        counts = np.array([self._allowed[a:b].sum() for a, b in zip(self._first, self._last, strict=True)])
        width = np.median(self._last - self._first)
        least = np.ceil(_LEAST_SHARE * np.minimum(self._last - self._first, width))
        self._least = np.maximum(least, LEAST_PIXELS).astype(np.int64)
        self._depth = int(counts.max(initial=1))
        self._arms = arms_of(wavelength, segment)
        # A segment's level stands for the mean wavelength of the pixels it may use.
        centres = [
            wavelength[a:b][self._allowed[a:b]].mean() if n else 0.5 * (wavelength[a] + wavelength[b - 1])
            for a, b, n in zip(self._first, self._last, counts, strict=True)
        ]
        self._splines = [
            _ArmSpline(wavelength[lo:hi], np.asarray(centres)[(self._first >= lo) & (self._last <= hi)], knot_spacing)
            for lo, hi in self._arms
        ]

    def levels(self, flux: _F4, usable: _Mask | None = None) -> tuple[_F8, _I8]:
        """Return each segment's level [segments] (NaN without enough pixels) and the pixels behind it [segments].

        Args:
            flux: [pixels].
            usable: pixels [pixels] that are neither missing nor masked; NaN is never used.
        """
        chosen = self._allowed if usable is None else self._allowed & usable
        flux = np.ascontiguousarray(flux, dtype=np.float32)
        table, counts = _gather(flux, chosen, self._first, self._last, self._depth)
        table.sort(axis=1)  # NumPy sorts float32 with vector instructions; the padding is infinite and stays behind
        levels, kept = _clip_levels(table, counts, self._least, self._clip[0], self._clip[1])
        return levels, kept

    def fit(self, flux: _F4, usable: _Mask | None = None) -> _F4:
        """Return the continuum [pixels]; NaN in an arm none of whose segments has enough usable pixels."""
        levels, _ = self.levels(flux, usable)
        out = np.empty(flux.size, dtype=np.float32)
        begin = 0
        for (low, high), spline in zip(self._arms, self._splines, strict=True):
            spline.through(levels[begin : begin + spline.segments], out[low:high])
            begin += spline.segments
        return out


class _ArmSpline:
    """The spline of one arm; for a given set of good segments its coefficients are a fixed matrix times the levels."""

    def __init__(self, wavelength: _F8, centres: _F8, knot_spacing: float) -> None:
        from scipy.interpolate import BSpline  # only here: who trains or predicts needs no splines, but starts often

        self.segments = centres.size
        # A short range has too few levels to hold a cubic: half as many coefficients as levels, or fewer.
        degree = min(3, centres.size // 3)
        pieces = max(1, min(round((wavelength[-1] - wavelength[0]) / knot_spacing), centres.size // 2 - degree))
        inner = np.linspace(wavelength[0], wavelength[-1], pieces + 1)
        knots = np.concatenate([np.repeat(inner[0], degree), inner, np.repeat(inner[-1], degree)])
        self._at_centres = BSpline.design_matrix(centres, knots, degree).toarray()
        self._penalty = _penalty(knots, degree)
        starts = np.searchsorted(wavelength, inner[1:-1])
        dense = BSpline.design_matrix(wavelength, knots, degree).tocsr()
        # Between two knots the same degree + 1 coefficients act, so the weights are kept as rows that run along pixels;
        # four rows whatever the degree.
        self._weights = np.zeros((4, wavelength.size), dtype=np.float32)
        self._weights[: degree + 1] = dense.data.reshape(wavelength.size, degree + 1).T
        self._spare = np.zeros(3 - degree)
        self._begin = np.array([0, *starts, wavelength.size], dtype=np.int64)
        self._operator = lru_cache(maxsize=64)(self._solve)

    def through(self, levels: _F8, out: _F4) -> None:
        good = np.isfinite(levels)
        if not good.any():
            out[:] = np.nan
            return
        coefficients = np.append(self._operator(good.tobytes()) @ levels[good], self._spare).astype(np.float32)
        # Where a spline swings beyond its levels (at the ends, or across a bridge), it is held.
        low, high = levels[good].min(), levels[good].max()
        low, high = np.float32(low - _SWING * abs(low)), np.float32(high + _SWING * abs(high))
        _evaluate(coefficients, self._weights, self._begin, low, high, out)

    def _solve(self, good: bytes) -> _F8:
        design = self._at_centres[np.frombuffer(good, dtype=bool)]
        operator: _F8 = np.linalg.solve(design.T @ design + self._penalty, design.T)
        return operator


def _penalty(knots: _F8, degree: int) -> _F8:
    """Return the matrix whose quadratic form in the coefficients punishes slopes, and changes of slope."""
    count = knots.size - degree - 1
    if count == 1:
        return np.zeros((1, 1))
    # A coefficient stands for the mean of the knots within its B-spline (Greville's abscissa): on a straight line the
    # coefficients are the line's values there.
    places = np.array([knots[i + 1 : i + degree + 1].mean() for i in range(count)])
    slope = np.diff(np.eye(count), axis=0) / (np.diff(places) / np.diff(places).max())[:, None]
    bend = np.diff(slope, axis=0)
    penalty: _F8 = _ROUGHNESS * bend.T @ bend + _SLOPE * slope.T @ slope
    return penalty


def arms_of(wavelength: _F8, gap: float) -> list[tuple[int, int]]:
    """Return first pixel and end of each arm: steps wider than `gap` (angstrom) between pixels separate them."""
    breaks = np.flatnonzero(np.diff(wavelength) > gap) + 1
    ends = [0, *breaks.tolist(), wavelength.size]
    return list(pairwise(ends))


def _segments(wavelength: _F8, segment: float) -> tuple[_I8, _I8]:
    """Return first pixel and end of each segment: equal widths near `segment`, by wavelength, that fill each arm."""
    first: list[int] = []
    last: list[int] = []
    for low, high in arms_of(wavelength, segment):
        arm = wavelength[low:high]
        count = max(1, round((arm[-1] - arm[0]) / segment))
        ends = low + np.searchsorted(arm, np.linspace(arm[0], arm[-1], count + 1)[1:-1])
        first += [low, *ends.tolist()]
        last += [*ends.tolist(), high]
    return np.array(first, dtype=np.int64), np.array(last, dtype=np.int64)


@njit(cache=True, nogil=True)
def _gather(flux: _F4, chosen: _Mask, first: _I8, last: _I8, depth: int) -> tuple[_F4, _I8]:
    """Chosen, finite pixels of each segment [segments, depth], the rest of a row infinite; and their number."""
    table = np.empty((first.size, depth), dtype=np.float32)
    counts = np.zeros(first.size, dtype=np.int64)
    for s in range(first.size):
        part, wanted, row = flux[first[s] : last[s]], chosen[first[s] : last[s]], table[s]
        n = 0
        for p in range(part.size):
            n += 1 if wanted[p] and abs(part[p]) < np.float32(np.inf) else 0
        if n == part.size:
            row[:n] = part
        elif n > 0:
            k = 0
            for p in range(part.size):
                if wanted[p] and abs(part[p]) < np.float32(np.inf):
                    row[k] = part[p]
                    k += 1
        row[n:] = np.float32(np.inf)
        counts[s] = n
    return table, counts


@njit(cache=True, nogil=True)
def _clip_levels(table: _F4, counts: _I8, least: _I8, below: float, above: float) -> tuple[_F8, _I8]:
    """Levels of sorted segments, and the number of pixels behind them: rejection only moves two ends inward."""
    levels = np.full(counts.size, np.nan)
    kept = np.zeros(counts.size, dtype=np.int64)
    for s in range(counts.size):
        if counts[s] < least[s]:
            continue
        row = table[s]
        low, high = 0, counts[s]
        while True:
            m = high - low
            middle = low + m // 2
            origin = np.float64(row[middle])
            median = origin if m % 2 == 1 else 0.5 * (origin + np.float64(row[middle - 1]))
            total, squares = _moments(row[low:high], origin)
            mean = total / m
            sigma = np.sqrt(max(squares / m - mean * mean, 0.0))
            floor, ceiling = median - below * sigma, median + above * sigma
            while low < high - 1 and row[low] < floor:
                low += 1
            while high > low + 1 and row[high - 1] > ceiling:
                high -= 1
            if high - low == m:
                levels[s] = origin + mean
                kept[s] = m
                break
    return levels, kept


# "reassoc" lets the sums vectorise: their last bit depends on the width of the processor's vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _moments(values: _F4, origin: float) -> tuple[float, float]:
    """Sums of the differences from a central value, which cost no digits, and of their squares."""
    total, squares = 0.0, 0.0
    for k in range(values.size):
        d = np.float64(values[k]) - origin
        total += d
        squares += d * d
    return total, squares


@njit(cache=True, nogil=True, fastmath={"contract"})
def _evaluate(coefficients: _F4, weights: _F4, begin: _I8, low: np.float32, high: np.float32, out: _F4) -> None:
    for piece in range(begin.size - 1):
        a, b, c, d = coefficients[piece : piece + 4]
        part = slice(begin[piece], begin[piece + 1])
        wa, wb, wc, wd, spline = weights[0, part], weights[1, part], weights[2, part], weights[3, part], out[part]
        for p in range(spline.size):
            spline[p] = min(max(a * wa[p] + b * wb[p] + c * wc[p] + d * wd[p], low), high)
