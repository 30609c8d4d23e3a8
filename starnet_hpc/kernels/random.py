"""Random numbers as a function of what they are for: a key (experiment, stage, purpose) and a row.

Philox 4x32-10 (Salmon et al. 2011, SC'11, "Parallel random numbers: as easy as 1, 2, 3") turns a counter and a key into
128 random bits without any state, so that row k has the same draws in any order, on any worker, after any crash.
The counter's words are (block, 0, low word of the row, high word of the row).
"""

import hashlib
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Key = tuple[int, int]
"""Two 32-bit words that name a stream."""

_F4 = NDArray[np.float32]
_U4 = NDArray[np.uint32]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_BLOCK = 256
"""Counters worked on together: their arrays stay in the first cache and their loops vectorise."""


def stream(seed: int, *names: str | int) -> Key:
    """Return the key of one stream of random numbers, for instance `stream(seed, "augment", "train", "noise")`."""
    text = "/".join(str(part) for part in (seed, *names))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def uniforms(key: Key, rows: NDArray[np.integer[Any]], count: int) -> NDArray[np.float64]:
    """Return `count` uniform numbers in (0, 1) for each row [rows, count], with 52 random bits each."""
    return open_unit(_wide_words(key, np.asarray(rows, dtype=np.int64), count))


def open_unit(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return numbers strictly between 0 and 1 from random words of 64 bits."""
    # With 53 bits the half that keeps both ends out would be rounded away, to 1 at the top.
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def permutation(key: Key, size: int) -> NDArray[np.int64]:
    """Return the numbers 0 to `size` - 1 shuffled."""
    return shuffled(key, np.arange(size, dtype=np.int64))


def shuffled(key: Key, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return different numbers [n] in the order that the key gives them; two are in the same order among any others."""
    return numbers[np.argsort(_wide_words(key, numbers, 1)[:, 0], kind="stable")]


def normals(key: Key, row: int, count: int) -> _F4:
    """Return `count` standard normal numbers for a row [count]: Box-Muller on 32-bit uniforms, so within 6.8 sigma."""
    out = np.empty(-(-count // (4 * _BLOCK)) * 4 * _BLOCK, dtype=np.float32)
    _fill_normals(np.uint32(key[0]), np.uint32(key[1]), np.uint64(row), out)
    return out[:count]


def _wide_words(key: Key, rows: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """Return random words of 64 bits [rows, count]."""
    counters = np.zeros((4, rows.size, (count + 1) // 2), dtype=np.uint32)
    counters[0] = np.arange(counters.shape[2])
    counters[2] = (rows.astype(np.uint64) & _LOW)[:, None]
    counters[3] = (rows.astype(np.uint64) >> _SHIFT)[:, None]
    philox(counters.reshape(4, -1), np.uint32(key[0]), np.uint32(key[1]))
    words = np.moveaxis(counters, 0, 2).reshape(rows.size, -1).astype(np.uint64)
    return ((words[:, 0::2] << _SHIFT) | words[:, 1::2])[:, :count]


@njit(cache=True, nogil=True)
def philox(words: _U4, key0: np.uint32, key1: np.uint32) -> None:
    """Turn counters into random words, in place [4 words, counters]."""
    c0, c1, c2, c3 = words[0], words[1], words[2], words[3]
    for _ in range(10):
        # One round for all counters before the next, so that the loop over counters vectorises.
        for i in range(c0.size):
            p0 = _M0 * np.uint64(c0[i])
            p1 = _M1 * np.uint64(c2[i])
            c0[i] = np.uint32(p1 >> _SHIFT) ^ c1[i] ^ key0
            c1[i] = np.uint32(p1 & _LOW)
            c2[i] = np.uint32(p0 >> _SHIFT) ^ c3[i] ^ key1
            c3[i] = np.uint32(p0 & _LOW)
        key0 = np.uint32(key0 + _W0)
        key1 = np.uint32(key1 + _W1)


@njit(cache=True, nogil=True)
def _fill_normals(key0: np.uint32, key1: np.uint32, row: np.uint64, out: _F4) -> None:
    """Fill `out` (a multiple of 4 * _BLOCK long). No fastmath here: the same bits on every processor."""
    words = np.empty((4, _BLOCK), dtype=np.uint32)
    for start in range(0, out.size // 4, _BLOCK):
        for i in range(_BLOCK):
            words[0, i] = start + i
        words[1, :] = np.uint32(0)
        words[2, :] = np.uint32(row & _LOW)
        words[3, :] = np.uint32(row >> _SHIFT)
        philox(words, key0, key1)
        part = out[4 * start : 4 * (start + _BLOCK)]
        _box_muller(words[0], words[1], part[:_BLOCK], part[_BLOCK : 2 * _BLOCK])
        _box_muller(words[2], words[3], part[2 * _BLOCK : 3 * _BLOCK], part[3 * _BLOCK :])


# Cephes' single-precision polynomials, highest power first.
_LOG = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
_SIN = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_LN2 = np.float32(np.log(2.0))
_ROOT_HALF = np.int32(0x3F3504F3)
"""sqrt(1/2) in float32, as an integer."""
_ANGLE = np.float32(np.pi / 2.0**31)
"""A quarter of a turn in 2^30 steps."""


@njit(cache=True, nogil=True)
def _box_muller(radial: _U4, angular: _U4, cosine: _F4, sine: _F4) -> None:
    """Two normal numbers from two random words; logarithm and sine are polynomials so that the loop vectorises."""
    uniform = np.empty(_BLOCK, dtype=np.float32)
    for i in range(_BLOCK):
        # The largest words round to 1 in float32; their logarithm is 0 all the same.
        uniform[i] = (np.float32(radial[i]) + _HALF) * np.float32(2.0**-32)
    bits = uniform.view(np.int32)
    # Numba widens integers to 64 bits at every turn; the casts bring them back, so that a vector holds twice as many.
    for i in range(_BLOCK):
        # x = 2^exponent * (1 + m) with 1 + m between sqrt(1/2) and sqrt(2).
        shifted = np.int32(bits[i] - _ROOT_HALF)
        exponent = np.int32(shifted >> np.int32(23))
        bits[i] = np.int32(shifted & np.int32(0x007FFFFF)) + _ROOT_HALF
        m = uniform[i] - _ONE
        z = m * m
        p = _LOG[0]
        for c in _LOG[1:]:
            p = p * m + c
        log = np.float32(exponent) * _LN2 + (m + (p * m * z - _HALF * z))
        radius = np.sqrt(max(np.float32(-2.0) * log, np.float32(0.0)))
        # Two bits choose the quadrant, thirty the angle in it, centred: -pi/4 to pi/4.
        quadrant = np.int32(angular[i] >> np.uint32(30))
        t = (np.float32(np.int32(angular[i] & np.uint32(0x3FFFFFFF))) - np.float32(2.0**29)) * _ANGLE
        t2 = t * t
        sin_t = t + t * t2 * ((_SIN[0] * t2 + _SIN[1]) * t2 + _SIN[2])
        cos_t = _ONE - _HALF * t2 + t2 * t2 * ((_COS[0] * t2 + _COS[1]) * t2 + _COS[2])
        swap = (quadrant & 1) == 1
        x = sin_t if swap else cos_t
        y = cos_t if swap else sin_t
        cosine[i] = radius * (-x if quadrant in (1, 2) else x)
        sine[i] = radius * (-y if quadrant >= 2 else y)
