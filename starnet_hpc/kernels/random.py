"""Random numbers as a function of what they are for: a key (experiment, stage, purpose) and a row.

Philox 4x32-10 (Salmon et al. 2011, SC'11, "Parallel random numbers: as easy as 1, 2, 3") turns a counter and a key into
128 random bits without any state, so that row k has the same draws in any order, on any worker, after any crash.
The counter's words are (block, 0, low word of the row, high word of the row).
"""

import hashlib

import numpy as np
from numba import njit
from numpy.typing import NDArray

Key = tuple[int, int]
"""Two 32-bit words that name a stream."""

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


def uniforms(key: Key, rows: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Return `count` uniform numbers in (0, 1) for each row [rows, count], with 53 random bits each."""
    words = _words(key[0], key[1], np.asarray(rows, dtype=np.int64), count)
    # 53 bits make a double; the half keeps both ends out.
    wide = (words[:, 0::2].astype(np.uint64) << _SHIFT) | words[:, 1::2].astype(np.uint64)
    return ((wide >> np.uint64(11)).astype(np.float64)[:, :count] + 0.5) * 2.0**-53


def permutation(key: Key, size: int) -> NDArray[np.int64]:
    """Return the numbers 0 to `size` - 1 shuffled."""
    words = _words(key[0], key[1], np.arange(size, dtype=np.int64), 1)
    wide = (words[:, 0].astype(np.uint64) << _SHIFT) | words[:, 1].astype(np.uint64)
    return np.argsort(wide, kind="stable")


def normals(key: Key, row: int, count: int) -> NDArray[np.float32]:
    """Return `count` standard normal numbers for a row [count]: Box-Muller on 32-bit uniforms, so within 6.7 sigma."""
    out = np.empty(-(-count // (4 * _BLOCK)) * 4 * _BLOCK, dtype=np.float32)
    _fill_normals(key[0], key[1], row, out)
    return out[:count]


@njit(cache=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four 32-bit words of one counter (four words) under a key (two words)."""
    for _ in range(10):
        p0 = _M0 * np.uint64(c0)
        p1 = _M1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(p1 >> _SHIFT) ^ c1 ^ k0,
            np.uint32(p1 & _LOW),
            np.uint32(p0 >> _SHIFT) ^ c3 ^ k1,
            np.uint32(p0 & _LOW),
        )
        k0 = np.uint32(k0 + _W0)
        k1 = np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@njit(cache=True)
def _words(key0, key1, rows, pairs):
    """Random words [rows, 2 * pairs], rounded up to whole counters."""
    blocks = (pairs + 1) // 2
    out = np.empty((rows.size, 4 * blocks), dtype=np.uint32)
    k0, k1 = np.uint32(key0), np.uint32(key1)
    for i in range(rows.size):
        row = np.uint64(rows[i])
        low, high = np.uint32(row & _LOW), np.uint32(row >> _SHIFT)
        for b in range(blocks):
            w0, w1, w2, w3 = philox(np.uint32(b), np.uint32(0), low, high, k0, k1)
            out[i, 4 * b], out[i, 4 * b + 1], out[i, 4 * b + 2], out[i, 4 * b + 3] = w0, w1, w2, w3
    return out


@njit(cache=True)
def _fill_normals(key0, key1, row, out):
    """Fill `out` (a multiple of 4 * _BLOCK long). No fastmath here: the same bits on every processor."""
    k0, k1 = np.uint32(key0), np.uint32(key1)
    low, high = np.uint32(np.uint64(row) & _LOW), np.uint32(np.uint64(row) >> _SHIFT)
    words = np.empty((4, _BLOCK), dtype=np.uint32)
    for start in range(0, out.size // 4, _BLOCK):
        for i in range(_BLOCK):
            w0, w1, w2, w3 = philox(np.uint32(start + i), np.uint32(0), low, high, k0, k1)
            words[0, i] = w0
            words[1, i] = w1
            words[2, i] = w2
            words[3, i] = w3
        for half in range(2):
            first = 4 * start + 2 * half * _BLOCK
            _box_muller(words[2 * half], words[2 * half + 1], out[first : first + _BLOCK], out[first + _BLOCK : first + 2 * _BLOCK])


@njit(cache=True)
def _box_muller(radial, angular, cosine, sine):
    """Two normal numbers from two random words; logarithm and sine are polynomials so that the loop vectorises."""
    scale = np.empty(_BLOCK, dtype=np.float32)
    for i in range(_BLOCK):
        # (word + 1/2) / 2^32 would round to 1 in float32 for the largest words; their logarithm is 0 all the same.
        scale[i] = (np.float32(radial[i]) + np.float32(0.5)) * np.float32(2.0**-32)
    bits = scale.view(np.int32)
    for i in range(_BLOCK):
        # x = 2^exponent * (1 + m) with 1 + m between sqrt(1/2) and sqrt(2); ln(1 + m) by Cephes' logf polynomial.
        shifted = bits[i] - np.int32(0x3F3504F3)
        exponent = shifted >> np.int32(23)
        bits[i] = (shifted & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3)
        m = scale[i] - np.float32(1.0)
        z = m * m
        p = np.float32(7.0376836292e-2)
        p = p * m + np.float32(-1.1514610310e-1)
        p = p * m + np.float32(1.1676998740e-1)
        p = p * m + np.float32(-1.2420140846e-1)
        p = p * m + np.float32(1.4249322787e-1)
        p = p * m + np.float32(-1.6668057665e-1)
        p = p * m + np.float32(2.0000714765e-1)
        p = p * m + np.float32(-2.4999993993e-1)
        p = p * m + np.float32(3.3333331174e-1)
        log = np.float32(exponent) * np.float32(0.693147180559945) + (m + (p * m * z - np.float32(0.5) * z))
        radius = np.sqrt(max(np.float32(-2.0) * log, np.float32(0.0)))
        # Two bits choose the quadrant, thirty the angle in it, centred: -pi/4 to pi/4.
        word = angular[i]
        quadrant = np.int32(word >> np.uint32(30))
        t = (np.float32(np.int32(word & np.uint32(0x3FFFFFFF))) - np.float32(2.0**29)) * np.float32(1.4629180792671596e-09)
        t2 = t * t
        s = t * (np.float32(1.0) + t2 * (np.float32(-1.6666654611e-1) + t2 * (np.float32(8.3321608736e-3) + t2 * np.float32(-1.9515295891e-4))))
        c = np.float32(1.0) + t2 * (np.float32(-0.5) + t2 * (np.float32(4.166664568298827e-2) + t2 * (np.float32(-1.388731625493765e-3) + t2 * np.float32(2.443315711809948e-5))))
        swap = (quadrant & 1) == 1
        x = s if swap else c
        y = c if swap else s
        x = -x if quadrant == 1 or quadrant == 2 else x
        y = -y if quadrant >= 2 else y
        cosine[i] = radius * x
        sine[i] = radius * y
