"""Spectra that stay in memory while a member is trained: the GPU's, or the machine's."""

from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet_hpc.stores import Store, page_aligned
from starnet_hpc.train.order import Window
from starnet_hpc.train.transfer import host_memory, on_device


class Resident:
    """The rows of some shards, as they are stored (float16 or float32)."""

    def __init__(self, store: Store, shards: Sequence[int], device: torch.device, *, on_gpu: bool) -> None:
        """Read all rows of the shards.

        Args:
            store: of spectra.
            shards: to keep.
            device: where batches are wanted.
            on_gpu: keep the rows there, if it is a GPU.
        """
        layout = store.layout
        self._device, self._shard_rows = device, layout.shard_rows
        self._begin = np.zeros(layout.shards, dtype=np.int64)
        lengths = [len(layout.rows_of(shard)) for shard in shards]
        self._begin[list(shards)] = np.cumsum([0, *lengths[:-1]])[: len(lengths)]
        home = device if on_gpu else torch.device("cpu")
        self._flux = torch.empty((sum(lengths), layout.pixels), dtype=getattr(torch, layout.dtype), device=home)
        if home.type == "cpu":
            for shard, length in zip(shards, lengths, strict=True):
                store.read_shard(shard, self._flux.numpy(), self._begin[shard] + np.arange(length))
            return
        staging = page_aligned((max(lengths, default=0), layout.pixels), layout.dtype)
        for shard, length in zip(shards, lengths, strict=True):
            store.read_shard(shard, staging, np.arange(length))
            self._flux[self._begin[shard] :][:length].copy_(torch.from_numpy(staging[:length]))

    def fluxes(
        self, windows: Sequence[Window], size: int, steps: range, stop: Callable[[], bool]
    ) -> Generator[Tensor, None, None]:
        """Yield the fluxes [size, pixels] of some batches of the order that `windows` are; `stop` is never asked."""
        order = torch.from_numpy(self._places(np.concatenate([window.rows for window in windows])))
        if self._flux.is_cuda:
            order = order.to(self._device)
            for step in steps:
                yield self._flux.index_select(0, order[step * size : (step + 1) * size])
        else:
            yield from on_device(self._gathered(order, size, steps), self._device)

    def _gathered(self, order: Tensor, size: int, steps: range) -> Generator[Tensor, None, None]:
        """Yield batches in the same piece of memory: the system would have to clear new pages for each."""
        room = host_memory((size, self._flux.shape[1]), self._flux.dtype, self._device)
        for step in steps:
            places = order[step * size : (step + 1) * size]
            yield torch.index_select(self._flux, 0, places, out=room[: places.numel()])

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows of the store lie in memory."""
        shard, inside = np.divmod(rows, self._shard_rows)
        return self._begin[shard] + inside
