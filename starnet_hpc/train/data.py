"""Batches of training spectra: whole shards for each rank, shuffled by key every epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet_hpc.errors import ConfigError
from starnet_hpc.kernels.random import permutation, stream
from starnet_hpc.networks import LabelScale
from starnet_hpc.stores import Store


@dataclass(frozen=True)
class Batch:
    """Spectra that go through the network together."""

    flux: Tensor
    """[batch, pixels], as stored."""
    labels: Tensor
    """[batch, labels], standardised."""
    rows: Tensor
    """Rows of the store [batch], which key the random masks."""


class RankData:
    """The rows of one store that one rank works on, held in memory as they are stored."""

    def __init__(self, store: Store, scale: LabelScale, shards: list[int]) -> None:
        layout = store.layout
        owned = [row for shard in shards for row in layout.rows_of(shard)]
        self.rows: NDArray[np.int64] = np.array(owned, dtype=np.int64)
        self._flux = torch.empty((self.rows.size, layout.pixels), dtype=getattr(torch, layout.dtype))
        begin = 0
        for shard in shards:
            span = layout.rows_of(shard)
            self._flux[begin : begin + len(span)] = torch.from_numpy(store.read(span.start, span.stop))
            begin += len(span)
        self._labels = torch.from_numpy(scale.standardised(store.column("labels")[self.rows]))

    @property
    def pixels(self) -> int:
        """Length of a spectrum."""
        return int(self._flux.shape[1])

    def epoch(self, seed: int, member: int, epoch: int, size: int, steps: int, first: int = 0) -> Iterator[Batch]:
        """Yield batches `first` to `steps` - 1 of an epoch, `size` rows each, in the order that the key gives."""
        order = permutation(stream(seed, "train", member, "order", epoch), self.rows.size)
        for step in range(first, steps):
            yield self._batch(order[step * size : (step + 1) * size])

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield all rows once, in order."""
        for begin in range(0, self.rows.size, size):
            yield self._batch(np.arange(begin, min(begin + size, self.rows.size)))

    def _batch(self, places: NDArray[np.int64]) -> Batch:
        chosen = torch.from_numpy(places)
        return Batch(self._flux[chosen], self._labels[chosen], torch.from_numpy(self.rows[places]))


def shards_of_rank(store: Store, rank: int, world: int) -> list[int]:
    """Return the shards of one rank: every `world`-th, so that no two ranks share a row.

    Raises:
        ConfigError: there are fewer shards than ranks.
    """
    if store.layout.shards < world:
        raise ConfigError(
            f"{store.path} has {store.layout.shards} shards for {world} processes: "
            f"lower augment.shard_rows to {max(1, len(store) // world)} or less, or train with fewer processes"
        )
    return list(range(rank, store.layout.shards, world))


def steps_per_epoch(store: Store, world: int, local_batch: int) -> int:
    """Return the steps that every rank can take: the rank with the fewest rows decides, so that all stay in step.

    Raises:
        ConfigError: some rank has not even one batch.
    """
    owned = [sum(len(store.layout.rows_of(shard)) for shard in shards_of_rank(store, r, world)) for r in range(world)]
    steps = min(owned) // local_batch
    if steps == 0:
        raise ConfigError(
            f"train.batch_size: {local_batch} spectra a process, but one process has only {min(owned)} of "
            f"{len(store)} in {store.path}; lower train.batch_size or raise augment.n_train"
        )
    return steps
