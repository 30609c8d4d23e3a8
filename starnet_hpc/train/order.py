"""The order in which a rank goes through its rows: a function of the key (seed, member, epoch) and the store's layout.

A rank owns whole shards. Every epoch these are shuffled and taken in windows of a few; the rows of a window are
shuffled among each other. Batches are consecutive slices of that order, so that whoever reads spectra from the disk
needs one window at a time, in whole files, and whoever has them in memory gives the same batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError
from starnet_hpc.kernels.random import shuffled, stream
from starnet_hpc.stores import Layout, Store


@dataclass(frozen=True)
class Window:
    """The rows of a few whole shards."""

    shards: tuple[int, ...]
    """In ascending order."""
    rows: NDArray[np.int64]
    """Rows of the store in the order in which they are used [n]."""


def shuffled_windows(
    layout: Layout, shards: Sequence[int], most: int, *, seed: int, member: int, epoch: int
) -> Iterator[Window]:
    """Yield the windows of an epoch, each of `most` shards or fewer: as equal as whole shards allow.

    A short window at the end would hardly be shuffled.
    """
    shard_key, row_key = (stream(seed, "train", member, purpose, epoch) for purpose in ("shards", "order"))
    if not shards:
        return
    order = shuffled(shard_key, np.array(shards, dtype=np.int64))
    for part in np.array_split(order, -(-order.size // most)):
        taken = sorted(part.tolist())
        yield Window(tuple(taken), shuffled(row_key, rows_of(layout, taken)))


def windows_in_order(layout: Layout, shards: Sequence[int]) -> Iterator[Window]:
    """Yield one shard after the other."""
    for shard in shards:
        yield Window((shard,), rows_of(layout, [shard]))


def rows_of(layout: Layout, shards: Sequence[int]) -> NDArray[np.int64]:
    """Return the rows of shards, one shard after the other [n]."""
    return np.array([row for shard in shards for row in layout.rows_of(shard)], dtype=np.int64)


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
