"""StarNet's two convolutions and its pooling in one pass over a spectrum, and their gradients in another.

Filters (4, then 16) have eight taps, each is followed by a ReLU, and of every four pixels the largest is kept (Bialek
et al. 2020, section 2.1). Done one after the other these steps write and read 10 MB a spectrum of 39,436 pixels, and
that is what a training step of the paper's network mostly waits for. Here they follow each other on blocks that stay in
the first cache; what comes out is the pooled 0.6 MB and, for the gradients, one byte for each of them.

Pixels are dealt to four lanes, pixel 4i + r to place i of lane r. The four pixels that are pooled then stand at the
same place of four lanes, and a vector unit works on many of them at once. The lanes of a block stand behind each other
in one array: every further array that a loop reads would cost it more than some of its sums.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_F4 = NDArray[np.float32]
_U1 = NDArray[np.uint8]

CHANNELS = 4
"""Filters of the first convolution."""
FILTERS = 16
"""Filters of the second convolution."""
TAPS = 8
"""Pixels that a filter spans."""
POOL = 4
"""Pixels of which one is kept."""

_LANES = POOL
_BLOCK = 256
"""Places that are worked on together: pooled pixels, for which eleven filtered ones a lane are needed."""
_WIDE = _BLOCK + 16
"""Length of a lane: a block and what the filters reach beyond it."""
_ALL = _LANES * _WIDE
"""Length of the four lanes of a block."""
_LEAD = 4
"""Places before a block that hold gradients of earlier pixels; two would do."""
_NONE = 4
"""Mark of a pooled pixel that is 0, and passes no gradient on."""
_ZERO = np.float32(0.0)


class Filters(NamedTuple):
    """Weights of both convolutions, or gradients with respect to them; float32, in C order."""

    first: _F4
    """[4, 8]"""
    first_bias: _F4
    """[4]"""
    second: _F4
    """[16, 4, 8]"""
    second_bias: _F4
    """[16]"""


def pooled_length(pixels: int) -> int:
    """Return the number of pooled pixels of a spectrum; a rest of less than four pixels is left out."""
    return max(0, pixels - 2 * (TAPS - 1)) // POOL


@njit(cache=True, nogil=True, boundscheck=False)
def pooled(flux: _F4, filters: Filters, out: _F4, winner: _U1) -> None:
    """Write the pooled output of both convolutions for one spectrum.

    Args:
        flux: any unit [pixels].
        filters: weights.
        out: written, [16, `pooled_length`].
        winner: written, [16, `pooled_length`]: which of its four pixels (0 to 3) each is, 4 if it is 0 and has no
            gradient; or empty, when no gradient will be asked for.
    """
    x, z = np.empty(_ALL, dtype=np.float32), np.empty(_ALL, dtype=np.float32)
    hidden = np.empty((CHANNELS, _ALL), dtype=np.float32)
    length = out.shape[1]
    for start in range(0, length, _BLOCK):
        count = min(_BLOCK, length - start)
        _deal(flux, start, x)
        _filter_first(x, filters, hidden)
        for f in range(FILTERS):
            z[:] = filters.second_bias[f]
            for c in range(CHANNELS):
                _correlate(hidden[c], filters.second[f, c], z, _BLOCK)
            if winner.size:
                _pool(z, out[f, start : start + count], winner[f, start : start + count])
            else:
                _pool_only(z, out[f, start : start + count])


@njit(cache=True, nogil=True, boundscheck=False)
def pooled_gradient(flux: _F4, filters: Filters, gradient: _F4, winner: _U1, total: Filters) -> None:
    """Add to `total` the gradient with respect to the weights that comes from one spectrum.

    Args:
        flux: as for `pooled` [pixels].
        filters: weights.
        gradient: with respect to the pooled pixels [16, `pooled_length`].
        winner: from `pooled`.
        total: what is added to.
    """
    x, spread = np.empty(_ALL, dtype=np.float32), np.empty(_ALL, dtype=np.float32)
    hidden, backward = np.empty((CHANNELS, _ALL), dtype=np.float32), np.empty((CHANNELS, _ALL), dtype=np.float32)
    reversed_taps = filters.second[:, :, ::-1].copy()
    length = gradient.shape[1]
    # In `spread` every pixel stands seven pixels late, so that both sums below read forwards.
    late = spread[_LEAD - 2 :]
    z0, z1, z2, z3 = _late_lanes(spread, _LEAD)
    # The last pooled pixel reaches seven pixels, two places, further.
    for start in range(0, length + 2, _BLOCK):
        _deal(flux, start, x)
        _filter_first(x, filters, hidden)
        backward[:] = _ZERO
        begin, end = max(start - 2, 0), min(start + _BLOCK, length)
        for f in range(FILTERS):
            _spread(gradient[f, begin:end], winner[f, begin:end], _LEAD + begin - start, spread)
            total.second_bias[f] += _sum(z0, z1, z2, z3)
            for c in range(CHANNELS):
                _weigh(hidden[c], z0, z1, z2, z3, total.second[f, c])
                _correlate(late, reversed_taps[f, c], backward[c], _BLOCK)
        _pass_living(hidden, backward)
        for c in range(CHANNELS):
            g0, g1, g2, g3 = _lanes(backward[c])
            total.first_bias[c] += _sum(g0, g1, g2, g3)
            _weigh(x, g0, g1, g2, g3, total.first[c])


@njit(cache=True, nogil=True, boundscheck=False)
def _deal(flux: _F4, start: int, out: _F4) -> None:
    """Deal pixels from place `start` on to the lanes; beyond the spectrum's end there are zeros."""
    begin = _LANES * start
    whole = max(0, min(_WIDE, (flux.size - begin) // _LANES))
    for i in range(whole):
        for r in range(_LANES):
            out[r * _WIDE + i] = flux[begin + _LANES * i + r]
    for i in range(whole, _WIDE):
        for r in range(_LANES):
            pixel = begin + _LANES * i + r
            out[r * _WIDE + i] = flux[pixel] if pixel < flux.size else _ZERO


@njit(cache=True, nogil=True, boundscheck=False)
def _filter_first(x: _F4, filters: Filters, hidden: _F4) -> None:
    """Apply the first convolution and its ReLU to a block and the places that the second one reaches beyond it."""
    for c in range(CHANNELS):
        hidden[c] = filters.first_bias[c]
        _correlate(x, filters.first[c], hidden[c], _BLOCK + 8)
        _rectify(hidden[c])


# "contract" allows a fused multiply-add, nothing else: the order of a sum is the one written here. "reassoc" below lets
# a vector's elements be summed side by side. Neither may forget that numbers can be NaN, which has to come through.
@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _correlate(x: _F4, taps: _F4, out: _F4, count: int) -> None:
    """Add to the first `count` places of `out` the sums over taps of tap times pixel."""
    t0, t1, t2, t3, t4, t5, t6, t7 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5], taps[6], taps[7]
    for i in range(count):
        j, k, m = _WIDE + i, 2 * _WIDE + i, 3 * _WIDE + i
        x0, x1, x2, x3 = x[i], x[j], x[k], x[m]
        x4, x5, x6, x7 = x[i + 1], x[j + 1], x[k + 1], x[m + 1]
        x8, x9, x10 = x[i + 2], x[j + 2], x[k + 2]
        out[i] += t0 * x0 + t1 * x1 + t2 * x2 + t3 * x3 + t4 * x4 + t5 * x5 + t6 * x6 + t7 * x7
        out[j] += t0 * x1 + t1 * x2 + t2 * x3 + t3 * x4 + t4 * x5 + t5 * x6 + t6 * x7 + t7 * x8
        out[k] += t0 * x2 + t1 * x3 + t2 * x4 + t3 * x5 + t4 * x6 + t5 * x7 + t6 * x8 + t7 * x9
        out[m] += t0 * x3 + t1 * x4 + t2 * x5 + t3 * x6 + t4 * x7 + t5 * x8 + t6 * x9 + t7 * x10


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"}, boundscheck=False)
def _weigh(x: _F4, g0: _F4, g1: _F4, g2: _F4, g3: _F4, total: _F4) -> None:
    """Add to the gradients of eight taps [8] what a block's output gradients, a lane each, give them."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = _ZERO
    for i in range(_BLOCK):
        j, k, m = _WIDE + i, 2 * _WIDE + i, 3 * _WIDE + i
        x0, x1, x2, x3 = x[i], x[j], x[k], x[m]
        x4, x5, x6, x7 = x[i + 1], x[j + 1], x[k + 1], x[m + 1]
        x8, x9, x10 = x[i + 2], x[j + 2], x[k + 2]
        p, q, r, s = g0[i], g1[i], g2[i], g3[i]
        s0 += p * x0 + q * x1 + r * x2 + s * x3
        s1 += p * x1 + q * x2 + r * x3 + s * x4
        s2 += p * x2 + q * x3 + r * x4 + s * x5
        s3 += p * x3 + q * x4 + r * x5 + s * x6
        s4 += p * x4 + q * x5 + r * x6 + s * x7
        s5 += p * x5 + q * x6 + r * x7 + s * x8
        s6 += p * x6 + q * x7 + r * x8 + s * x9
        s7 += p * x7 + q * x8 + r * x9 + s * x10
    total[0] += s0
    total[1] += s1
    total[2] += s2
    total[3] += s3
    total[4] += s4
    total[5] += s5
    total[6] += s6
    total[7] += s7


@njit(cache=True, nogil=True, fastmath={"reassoc"}, boundscheck=False)
def _sum(g0: _F4, g1: _F4, g2: _F4, g3: _F4) -> np.float32:
    total = _ZERO
    for i in range(_BLOCK):
        total += (g0[i] + g1[i]) + (g2[i] + g3[i])
    return total


@njit(cache=True, nogil=True, boundscheck=False)
def _rectify(values: _F4) -> None:
    for i in range(values.size):
        values[i] = max(values[i], _ZERO)  # in this order NaN stays NaN


@njit(cache=True, nogil=True, boundscheck=False)
def _pool(z: _F4, out: _F4, winner: _U1) -> None:
    for i in range(out.size):
        best, place = z[i], 0
        if z[_WIDE + i] > best:
            best, place = z[_WIDE + i], 1
        if z[2 * _WIDE + i] > best:
            best, place = z[2 * _WIDE + i], 2
        if z[3 * _WIDE + i] > best:
            best, place = z[3 * _WIDE + i], 3
        out[i] = max(best, _ZERO)
        winner[i] = _NONE if best <= _ZERO else place


@njit(cache=True, nogil=True, boundscheck=False)
def _pool_only(z: _F4, out: _F4) -> None:
    for i in range(out.size):
        best = max(max(z[i], z[_WIDE + i]), max(z[2 * _WIDE + i], z[3 * _WIDE + i]))
        out[i] = max(best, _ZERO)


@njit(cache=True, nogil=True, boundscheck=False)
def _spread(gradient: _F4, winner: _U1, place: int, out: _F4) -> None:
    """Give each pooled pixel's gradient to the one of its four that won, seven pixels late; `place` is the first's."""
    for r in range(_LANES):
        out[r * _WIDE : r * _WIDE + place] = _ZERO
        out[r * _WIDE + place + gradient.size - 1 : (r + 1) * _WIDE] = _ZERO
    a, b, c, d = _late_lanes(out, place)
    for i in range(gradient.size):
        g, w = gradient[i], winner[i]
        a[i] = g if w == 0 else _ZERO
        b[i] = g if w == 1 else _ZERO
        c[i] = g if w == 2 else _ZERO
        d[i] = g if w == 3 else _ZERO


@njit(cache=True, nogil=True, boundscheck=False)
def _lanes(x: _F4) -> tuple[_F4, _F4, _F4, _F4]:
    return x[:_WIDE], x[_WIDE : 2 * _WIDE], x[2 * _WIDE : 3 * _WIDE], x[3 * _WIDE :]


@njit(cache=True, nogil=True, boundscheck=False)
def _late_lanes(x: _F4, place: int) -> tuple[_F4, _F4, _F4, _F4]:
    """Return the lanes from the pixel before a place on: of four that are pooled, the first stands in the last lane."""
    return x[3 * _WIDE + place - 1 :], x[place:], x[_WIDE + place :], x[2 * _WIDE + place :]


@njit(cache=True, nogil=True, boundscheck=False)
def _pass_living(hidden: _F4, backward: _F4) -> None:
    """Stop gradients where a ReLU was closed."""
    h, g = hidden.ravel(), backward.ravel()
    for i in range(h.size):
        g[i] = _ZERO if h[i] <= _ZERO else g[i]
