"""Cubic spline through point samples, for many spectra that share their wavelengths.

Synthetic fluxes are samples at points. Read as piecewise linear, those of a grid with 0.02 A steps err by up to 0.7 %
of the median flux; as a cubic by 0.05 to 0.25 %, which is what the sampling itself sets. All that depends on the
wavelengths alone (elimination factors, neighbours, weights) is worked out once.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_MARGIN = 64
"""Samples beyond the targets that take part: the influence of one falls by 2 + sqrt(3) a step, to 1e-36 over these."""


class CubicSpline:
    """The "not-a-knot" cubic spline (the same as scipy.interpolate.CubicSpline's default) at fixed target positions."""

    def __init__(self, positions: _Array, targets: _Array) -> None:
        """Prepare everything but the sampled values.

        Args:
            positions: where the samples lie [n], n >= 4, increasing, in any unit.
            targets: where values are wanted [m], increasing, inside the positions (but for rounding).

        Raises:
            ValueError: the targets are not inside the positions.
        """
        tolerance = 1e-9 * abs(float(targets[-1]))
        if targets[0] < positions[0] - tolerance or targets[-1] > positions[-1] + tolerance:
            raise ValueError(
                f"targets {targets[0]:g} to {targets[-1]:g} lie outside samples {positions[0]:g} to {positions[-1]:g}"
            )
        start = max(int(np.searchsorted(positions, targets[0])) - _MARGIN, 0)
        stop = min(int(np.searchsorted(positions, targets[-1])) + _MARGIN, positions.size)
        self._part = slice(start, stop)
        x = np.ascontiguousarray(positions[self._part], dtype=np.float64)
        if x.size < 4:
            raise ValueError(f"a cubic spline needs 4 samples, got {x.size}")
        self._step = np.diff(x)
        self._below, self._inverse, self._above = _eliminate(self._step)
        index = np.clip(np.searchsorted(x, targets, side="right") - 1, 0, x.size - 2)
        self._index = index.astype(np.int32)
        self._weights = _hermite_weights((targets - x[index]) / self._step[index], self._step[index])

    def __call__(self, values: NDArray[np.floating[Any]]) -> _Array:
        """Return the spline at the targets [m] through samples [n] at the positions."""
        y = np.ascontiguousarray(values[self._part], dtype=np.float64)
        slopes = _slopes(y, self._step, self._below, self._inverse, self._above)
        result: _Array = _evaluate(y, slopes, self._index, self._weights)
        return result


def _hermite_weights(u: _Array, step: _Array) -> _Array:
    """Return the weights [m, 4] of left value, right value, left slope and right slope at relative places u in 0..1."""
    square, cube = u * u, u * u * u
    right = 3.0 * square - 2.0 * cube
    return np.stack([1.0 - right, right, step * (cube - 2.0 * square + u), step * (cube - square)], axis=1)


@njit(cache=True, nogil=True)
def _eliminate(step: _Array) -> tuple[_Array, _Array, _Array]:
    """Factors of the tridiagonal system for the slopes at the samples; the end rows say "not-a-knot"."""
    n = step.size + 1
    below = np.empty(n)
    inverse = np.empty(n)
    above = np.empty(n)
    below[0] = 0.0
    inverse[0] = 1.0 / step[1]
    above[0] = (step[0] + step[1]) * inverse[0]
    for i in range(1, n - 1):
        below[i] = step[i]
        inverse[i] = 1.0 / (2.0 * (step[i - 1] + step[i]) - below[i] * above[i - 1])
        above[i] = step[i - 1] * inverse[i]
    below[n - 1] = step[n - 2] + step[n - 3]
    inverse[n - 1] = 1.0 / (step[n - 3] - below[n - 1] * above[n - 2])
    above[n - 1] = 0.0
    return below, inverse, above


@njit(cache=True, nogil=True)
def _slopes(y: _Array, step: _Array, below: _Array, inverse: _Array, above: _Array) -> _Array:
    """Slopes at the samples: continuous second derivatives inside, continuous third ones next to the ends."""
    n = y.size
    slopes = np.empty(n)
    first, second = (y[1] - y[0]) / step[0], (y[2] - y[1]) / step[1]
    span = step[0] + step[1]
    slopes[0] = ((step[0] + 2.0 * span) * step[1] * first + step[0] * step[0] * second) / span * inverse[0]
    left = first
    for i in range(1, n - 1):
        right = (y[i + 1] - y[i]) / step[i]
        slopes[i] = (3.0 * (step[i] * left + step[i - 1] * right) - below[i] * slopes[i - 1]) * inverse[i]
        left = right
    last, before = left, (y[n - 2] - y[n - 3]) / step[n - 3]
    h, g = step[n - 2], step[n - 3]
    right_side = (h * h * before + (2.0 * (h + g) + h) * g * last) / (h + g)
    slopes[n - 1] = (right_side - below[n - 1] * slopes[n - 2]) * inverse[n - 1]
    for i in range(n - 2, -1, -1):
        slopes[i] -= above[i] * slopes[i + 1]
    return slopes


@njit(cache=True, nogil=True)
def _evaluate(y: _Array, slopes: _Array, index: NDArray[np.int32], weights: _Array) -> _Array:
    out = np.empty(index.size)
    for k in range(index.size):
        i = index[k]
        w = weights[k]
        out[k] = w[0] * y[i] + w[1] * y[i + 1] + w[2] * slopes[i] + w[3] * slopes[i + 1]
    return out
