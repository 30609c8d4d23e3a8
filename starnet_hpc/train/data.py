"""Batches of spectra: what a rank feeds its network with, wherever the spectra lie."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from starnet_hpc.networks import LabelScale
from starnet_hpc.stores import Store
from starnet_hpc.train.order import Window, rows_of, shuffled_windows, windows_in_order
from starnet_hpc.train.resident import Resident

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batch:
    """Spectra that go through the network together, on the device."""

    flux: Tensor
    """[batch, pixels], as stored; may be written over when the next batch is asked for."""
    labels: Tensor
    """[batch, labels], standardised."""
    rows: Tensor
    """Rows of the store [batch], which key the random masks."""


class RankData:
    """The rows of one store that one rank works on."""

    def __init__(
        self,
        store: Store,
        scale: LabelScale,
        shards: Sequence[int],
        *,
        device: torch.device = _CPU,
        shuffle_shards: int = 16,
    ) -> None:
        """Prepare for reading.

        Args:
            store: of spectra with labels.
            scale: standardises the labels.
            shards: those of the rank.
            device: where batches are wanted.
            shuffle_shards: shards whose rows are shuffled among each other.
        """
        self.rows = rows_of(store.layout, shards)
        self._layout, self._shards = store.layout, shards
        self._device, self._shuffle_shards = device, shuffle_shards
        self._labels = scale.standardised(store.column("labels"))
        self._source = Resident(store, shards)

    @property
    def pixels(self) -> int:
        """Length of a spectrum."""
        return self._layout.pixels

    def epoch(
        self, seed: int, member: int, epoch: int, size: int, steps: int, first: int = 0
    ) -> Generator[Batch, None, None]:
        """Yield batches `first` to `steps` - 1 of an epoch, `size` rows each, in the order that the key gives."""
        key = {"seed": seed, "member": member, "epoch": epoch}
        windows = shuffled_windows(self._layout, self._shards, self._shuffle_shards, **key)
        return self._batches(list(windows), size, range(first, steps))

    def in_order(self, size: int) -> Generator[Batch, None, None]:
        """Yield all rows once, in order."""
        windows = list(windows_in_order(self._layout, self._shards))
        return self._batches(windows, size, range(-(-self.rows.size // size)))

    def _batches(self, windows: list[Window], size: int, steps: range) -> Generator[Batch, None, None]:
        if not steps:
            return
        order = np.concatenate([window.rows for window in windows])
        rows = torch.from_numpy(order).to(self._device)
        labels = torch.from_numpy(self._labels[order]).to(self._device)
        for step, flux in zip(steps, self._source.fluxes(windows, size, steps), strict=True):
            part = slice(step * size, (step + 1) * size)
            yield Batch(flux.to(self._device), labels[part], rows[part])
