"""Augmentations vii and viii, on the device: pixels set to zero, a function of row and epoch."""

import math

import torch
from torch import Tensor

from starnet_hpc.kernels.random import stream
from starnet_hpc.train.subsets import PixelSubsets


class PixelMask:
    """Sets random pixels, and the telluric windows, of a batch to zero."""

    def __init__(self, seed: int, member: int, tellurics: Tensor, fraction_max: float) -> None:
        """Prepare for one member.

        Args:
            seed: of the experiment.
            member: number of the member.
            tellurics: pixels [pixels] that are always zero (bool).
            fraction_max: at most this share of the pixels is zeroed; the share of a row is uniform in 0 to this.
        """
        self._seed, self._member = seed, member
        self._keep = (~tellurics).float()
        self._any_telluric = bool(tellurics.any())
        most = math.floor(fraction_max * tellurics.numel())
        self._subsets = PixelSubsets(tellurics.numel(), most, tellurics.device) if most else None

    def train(self, flux: Tensor, rows: Tensor, epoch: int) -> Tensor:
        """Return flux [batch, pixels] with this epoch's pixels zeroed; `rows` [batch] are rows of the store."""
        flux = self.always(flux)
        if self._subsets is None:
            return flux
        drawn = self._subsets.drawn(rows, stream(self._seed, "train", self._member, "zero-pixels", epoch))
        return torch.where(drawn, torch.zeros((), dtype=flux.dtype, device=flux.device), flux)

    def always(self, flux: Tensor) -> Tensor:
        """Return flux [batch, pixels] with the telluric windows zeroed."""
        return flux * self._keep if self._any_telluric else flux
