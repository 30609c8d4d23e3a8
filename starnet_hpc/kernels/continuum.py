"""Continuum by asymmetric sigma clipping in segments, and a cubic spline through their levels.

Appendix A of Bialek et al. (2020). In each segment of 10 A the median is found and pixels far below (0.5 sigma: lines) and
above (2 sigma: noise) are rejected, until nothing more is; the mean of what is left is the segment's level.
"""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import BSpline

_LEAST_SHARE = 0.25
"""A segment with a smaller share of usable pixels tells nothing, and the spline bridges it."""
_ROUGHNESS = 1e-4
"""Weight of the squared second differences of the spline's coefficients, against 1 for the levels: it decides only where
there are no levels, and keeps the fit well posed whichever segments are missing."""
_SWING_LOW, _SWING_HIGH = 0.5, 1.5
"""The continuum stays between this share of its lowest level and that of its highest."""


class SegmentContinuum:
    """The continuum of spectra on one set of pixels."""

    def __init__(
        self,
        wavelength: NDArray[np.float64],
        avoid: NDArray[np.bool_],
        *,
        segment: float = 10.0,
        clip: tuple[float, float] = (0.5, 2.0),
        knot_spacing: float = 30.0,
    ) -> None:
        """Prepare everything that depends on the pixels alone.

        Args:
            wavelength: pixel centres [pixels], angstrom, increasing; a gap wider than a segment separates arms, each with
                a spline of its own.
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
        self._least = np.maximum(np.ceil(_LEAST_SHARE * np.minimum(self._last - self._first, width)), 8).astype(np.int64)
        self._depth = int(counts.max(initial=1))
        self._arms = _arms(wavelength, segment)
        # A segment's level stands for the mean wavelength of the pixels it may use.
        centres = [
            wavelength[a:b][self._allowed[a:b]].mean() if n else 0.5 * (wavelength[a] + wavelength[b - 1])
            for a, b, n in zip(self._first, self._last, counts, strict=True)
        ]
        self._splines = [
            _ArmSpline(wavelength[lo:hi], np.asarray(centres)[(self._first >= lo) & (self._last <= hi)], knot_spacing)
            for lo, hi in self._arms
        ]

    def levels(
        self, flux: NDArray[np.float32], usable: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return each segment's level [segments] (NaN without enough pixels) and the pixels behind it [segments].

        Args:
            flux: [pixels].
            usable: pixels [pixels] that are neither missing nor masked; NaN is never used.
        """
        chosen = self._allowed if usable is None else self._allowed & usable
        table, counts = _gather(np.ascontiguousarray(flux, dtype=np.float32), chosen, self._first, self._last, self._depth)
        table.sort(axis=1)  # NumPy sorts float32 with vector instructions; the padding is infinite and stays behind
        return _clip_levels(table, counts, self._least, self._clip[0], self._clip[1])

    def fit(self, flux: NDArray[np.float32], usable: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
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

    def __init__(self, wavelength: NDArray[np.float64], centres: NDArray[np.float64], knot_spacing: float) -> None:
        self.segments = centres.size
        # A short range has too few levels to hold a cubic: half as many coefficients as levels, or fewer.
        degree = min(3, centres.size // 3)
        pieces = max(1, min(round((wavelength[-1] - wavelength[0]) / knot_spacing), centres.size // 2 - degree))
        inner = np.linspace(wavelength[0], wavelength[-1], pieces + 1)
        knots = np.concatenate([np.repeat(inner[0], degree), inner, np.repeat(inner[-1], degree)])
        self._at_centres = BSpline.design_matrix(centres, knots, degree).toarray()
        self._starts = np.searchsorted(wavelength, inner[1:-1]).tolist()
        dense = BSpline.design_matrix(wavelength, knots, degree).tocsr()
        # Between two knots the same degree + 1 coefficients act, so the weights are kept as rows that run along pixels.
        self._weights = np.ascontiguousarray(dense.data.reshape(wavelength.size, degree + 1).T, dtype=np.float32)
        self._begin = np.array([0, *self._starts, wavelength.size], dtype=np.int64)
        self._operator = lru_cache(maxsize=64)(self._solve)

    def through(self, levels: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        good = np.isfinite(levels)
        if not good.any():
            out[:] = np.nan
            return
        coefficients = self._operator(good.tobytes()) @ levels[good]
        # Where a spline swings beyond its levels (at the ends, or across a bridge), it is held.
        low, high = _SWING_LOW * levels[good].min(), _SWING_HIGH * levels[good].max()
        _evaluate(coefficients.astype(np.float32), self._weights, self._begin, np.float32(low), np.float32(high), out)

    def _solve(self, good: bytes) -> NDArray[np.float64]:
        design = self._at_centres[np.frombuffer(good, dtype=bool)]
        rough = np.diff(np.eye(design.shape[1]), n=min(2, design.shape[1] - 1), axis=0)
        normal = design.T @ design + _ROUGHNESS * rough.T @ rough
        return np.linalg.lstsq(normal, design.T, rcond=None)[0]


def _arms(wavelength: NDArray[np.float64], segment: float) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(wavelength) > segment) + 1
    ends = [0, *breaks.tolist(), wavelength.size]
    return list(zip(ends[:-1], ends[1:], strict=True))


def _segments(wavelength: NDArray[np.float64], segment: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first pixel and end of each segment: equal widths near `segment`, by wavelength, that fill each arm."""
    first: list[int] = []
    last: list[int] = []
    for low, high in _arms(wavelength, segment):
        arm = wavelength[low:high]
        count = max(1, round((arm[-1] - arm[0]) / segment))
        ends = low + np.searchsorted(arm, np.linspace(arm[0], arm[-1], count + 1)[1:-1])
        first += [low, *ends.tolist()]
        last += [*ends.tolist(), high]
    return np.array(first, dtype=np.int64), np.array(last, dtype=np.int64)


@njit(cache=True)
def _gather(flux, chosen, first, last, depth):
    """Chosen, finite pixels of each segment [segments, depth], the rest of a row infinite; and their number."""
    table = np.full((first.size, depth), np.float32(np.inf), dtype=np.float32)
    counts = np.zeros(first.size, dtype=np.int64)
    for s in range(first.size):
        n = 0
        for p in range(first[s], last[s]):
            # Written always, counted if wanted: a branch that depends on the data would cost more than the store.
            if n < depth:
                table[s, n] = flux[p]
            n += 1 if chosen[p] and np.isfinite(flux[p]) else 0
        for k in range(n, depth):
            table[s, k] = np.float32(np.inf)
        counts[s] = n
    return table, counts


@njit(cache=True)
def _clip_levels(table, counts, least, below, above):
    """Levels of sorted segments: rejection only moves two ends inward, and prefix sums give mean and variance at once."""
    levels = np.full(counts.size, np.nan)
    kept = np.zeros(counts.size, dtype=np.int64)
    sums = np.zeros(table.shape[1] + 1)
    squares = np.zeros(table.shape[1] + 1)
    for s in range(counts.size):
        n = counts[s]
        if n < least[s]:
            continue
        row = table[s]
        origin = np.float64(row[n // 2])  # sums about a central value lose no digits
        for k in range(n):
            d = np.float64(row[k]) - origin
            sums[k + 1] = sums[k] + d
            squares[k + 1] = squares[k] + d * d
        low, high = 0, n
        while True:
            m = high - low
            middle = low + m // 2
            median = np.float64(row[middle])
            if m % 2 == 0:
                median = 0.5 * (median + np.float64(row[middle - 1]))
            mean = (sums[high] - sums[low]) / m
            sigma = np.sqrt(max((squares[high] - squares[low]) / m - mean * mean, 0.0))
            new_low, new_high = low, high
            while new_low < new_high - 1 and row[new_low] < median - below * sigma:
                new_low += 1
            while new_high > new_low + 1 and row[new_high - 1] > median + above * sigma:
                new_high -= 1
            if new_low == low and new_high == high:
                levels[s] = origin + mean
                kept[s] = m
                break
            low, high = new_low, new_high
    return levels, kept


@njit(cache=True, fastmath={"contract"})
def _evaluate(coefficients, weights, begin, low, high, out):
    order = weights.shape[0]
    for piece in range(begin.size - 1):
        lo, hi = begin[piece], begin[piece + 1]
        out[lo:hi] = np.float32(0.0)
        for k in range(order):
            c = coefficients[piece + k]
            w = weights[k]
            for p in range(lo, hi):
                out[p] += c * w[p]
    for p in range(out.size):
        out[p] = min(max(out[p], low), high)
