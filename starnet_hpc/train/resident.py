"""Spectra that stay in memory while a member is trained."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet_hpc.stores import Store
from starnet_hpc.train.order import Window


class Resident:
    """The rows of some shards in memory, as they are stored (float16 or float32)."""

    def __init__(self, store: Store, shards: Sequence[int]) -> None:
        """Read all rows of the shards."""
        layout = store.layout
        self._layout = layout
        self._begin = np.zeros(layout.shards, dtype=np.int64)
        rows = 0
        for shard in shards:
            self._begin[shard] = rows
            rows += len(layout.rows_of(shard))
        self._flux = torch.empty((rows, layout.pixels), dtype=getattr(torch, layout.dtype))
        for shard in shards:
            begin = self._begin[shard]
            store.read_shard(shard, self._flux.numpy(), np.arange(begin, begin + len(layout.rows_of(shard))))

    def fluxes(self, windows: Iterable[Window], size: int, steps: range) -> Iterator[Tensor]:
        """Yield the fluxes [size, pixels] of some batches of the order that `windows` are."""
        order = torch.from_numpy(self._places(np.concatenate([window.rows for window in windows])))
        for step in steps:
            yield self._flux.index_select(0, order[step * size : (step + 1) * size])

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows of the store lie in memory."""
        shard, inside = np.divmod(rows, self._layout.shard_rows)
        return self._begin[shard] + inside
