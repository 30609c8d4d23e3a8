"""Augmentations vii and viii, on the device: pixels set to zero, a function of row and epoch."""

import math

import torch
from torch import Tensor

from starnet_hpc.kernels.random import Key, stream

_TO_UNIT = 2.0**-32


class PixelMask:
    """Sets random pixels, and the telluric windows, of a batch to zero."""

    def __init__(self, seed: int, member: int, tellurics: Tensor, fraction_max: float) -> None:
        """Prepare for one member.

        Args:
            seed: of the experiment.
            member: number of the member.
            tellurics: pixels [pixels] that are always zero (bool).
            fraction_max: at most this share of the pixels is zeroed; the expected share is uniform in 0 to this.
        """
        self._seed, self._member, self._max = seed, member, fraction_max
        self._keep = (~tellurics).float()
        self._most = math.floor(fraction_max * tellurics.numel())
        self._any_telluric = bool(tellurics.any())
        self._pixels = torch.arange(tellurics.numel(), dtype=torch.int64, device=tellurics.device)

    def train(self, flux: Tensor, rows: Tensor, epoch: int) -> Tensor:
        """Return flux [batch, pixels] with this epoch's pixels zeroed; `rows` [batch] are rows of the store."""
        flux = self.always(flux)
        if self._max <= 0:
            return flux
        share = self._max * _unit(rows, stream(self._seed, "train", self._member, "zero-share", epoch))
        place = rows[:, None] * self._pixels.numel() + self._pixels
        chance = _unit(place, stream(self._seed, "train", self._member, "zero-pixels", epoch))
        chosen = chance < share[:, None]
        # Each pixel is drawn by itself, so that the count scatters about its share, and could pass the largest.
        chosen &= chosen.cumsum(dim=1, dtype=torch.int32) <= self._most
        return torch.where(chosen, torch.zeros((), dtype=flux.dtype, device=flux.device), flux)

    def always(self, flux: Tensor) -> Tensor:
        """Return flux [batch, pixels] with the telluric windows zeroed."""
        return flux * self._keep if self._any_telluric else flux


def _unit(counter: Tensor, key: Key) -> Tensor:
    """Return uniform numbers in [0, 1) for int64 counters: murmur3's 64-bit finaliser, which torch runs on any device.

    Products wrap modulo 2^64 and shifts are made logical by masking, so CPU and GPU give the same bits.
    """
    x = counter ^ _signed((key[0] << 32) | key[1])
    x = (x ^ _right(x, 33)) * _signed(0xFF51AFD7ED558CCD)
    x = (x ^ _right(x, 33)) * _signed(0xC4CEB9FE1A85EC53)
    x = x ^ _right(x, 33)
    return _right(x, 32).float() * _TO_UNIT


def _right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
