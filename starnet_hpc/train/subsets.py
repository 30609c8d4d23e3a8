"""Random subsets of pixels, a function of a key and a row; made of integers only, so that CPUs and GPUs agree.

Each row has a permutation of its own, of which no more than the beginning is computed: a Feistel network over the
places of a square that has room for all pixels (Black & Rogaway 2002, CT-RSA, "Ciphers with arbitrary finite domains").
Its round functions are tables of random numbers (SplitMix64: Steele et al. 2014, OOPSLA, "Fast splittable pseudorandom
number generators"). With three rounds neighbours are drawn together too often, with four the number of pixels in
short stretches scatters too much; from five on nothing was found by tests/train/test_subsets.py.
"""

import math

import torch
from torch import Tensor

from starnet_hpc.kernels.random import Key

_ROUNDS = 6


class PixelSubsets:
    """Draws 0 to `most` of the pixels of each row: every number of them, and every pixel, is equally likely."""

    def __init__(self, pixels: int, most: int, device: torch.device) -> None:
        self._pixels, self._most = pixels, most
        self._side = math.isqrt(max(pixels - 1, 0)) + 1
        # So many places of the permutation hold `most` pixels, even if all that are none come first.
        places = torch.arange(most + self._side**2 - pixels, device=device)
        self._left, self._right = places // self._side, places % self._side
        numbers = torch.arange(1, 2 + _ROUNDS * self._side, device=device)
        self._steps = numbers * _signed(0x9E3779B97F4A7C15)

    def drawn(self, rows: Tensor, key: Key) -> Tensor:
        """Return which pixels are drawn (bool) [rows, pixels].

        Args:
            rows: numbers of the rows (int64) [rows].
            key: of the random numbers.
        """
        seed = _mixed(rows ^ _signed((key[0] << 32) | key[1]))
        words = _mixed(seed[:, None] + self._steps) >> 32 & 0xFFFFFFFF
        count = words[:, :1] * (self._most + 1) >> 32
        places = self._permuted(words[:, 1:] * self._side >> 32)
        is_pixel = places < self._pixels
        chosen = is_pixel & (is_pixel.cumsum(dim=1, dtype=torch.int32) <= count)
        square = torch.zeros((rows.numel(), self._side**2), dtype=torch.bool, device=rows.device)
        return square.scatter_(1, places, chosen)[:, : self._pixels]

    def _permuted(self, tables: Tensor) -> Tensor:
        """Return where the first places of each row go [rows, places].

        Args:
            tables: what each round adds to one half for a value of the other one [rows, rounds * side].
        """
        # Sums are brought back below `side` at the end only; each half is a sum of four numbers by then.
        wide = tables.reshape(-1, _ROUNDS, self._side).repeat(1, 1, 4)
        left, right = (half.repeat(tables.shape[0], 1) for half in (self._left, self._right))
        added = torch.empty_like(left)
        for number in range(_ROUNDS):
            torch.gather(wide[:, number], 1, right, out=added)
            left += added
            left, right = right, left
        return left.remainder_(self._side).mul_(self._side).add_(right.remainder_(self._side))


def _mixed(x: Tensor) -> Tensor:
    """Return int64 numbers mixed by SplitMix64's output function.

    Products wrap modulo 2^64 and shifts are made logical by masking, so that all devices give the same bits.
    """
    x = (x ^ _right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _right(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _right(x, 31)


def _right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
