"""Batches of spectra: what a rank feeds its network with, wherever the spectra lie."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from starnet_hpc.config import TrainConfig
from starnet_hpc.networks import LabelScale
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import Store
from starnet_hpc.train.order import Window, rows_of, shuffled_windows, windows_in_order
from starnet_hpc.train.residency import WORDS, Home, Room, gigabytes
from starnet_hpc.train.resident import Resident
from starnet_hpc.train.streaming import Streamed

_CPU = torch.device("cpu")


def _never() -> bool:
    return False


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
        home: Home = "host",
        shuffle_shards: int = 16,
    ) -> None:
        """Prepare for reading.

        Args:
            store: of spectra with labels.
            scale: says which labels, and standardises them.
            shards: those of the rank.
            device: where batches are wanted.
            home: where the spectra lie; the batches are the same.
            shuffle_shards: shards whose rows are shuffled among each other.
        """
        self.rows = rows_of(store.layout, shards)
        self._layout, self._shards = store.layout, shards
        self._device, self._shuffle_shards = device, shuffle_shards
        self._labels = scale.standardised(store.labels(scale.names))
        self._source: Resident | Streamed
        if home == "stream":
            self._source = Streamed(store, device)
        else:
            self._source = Resident(store, shards, device, on_gpu=home == "device")

    @property
    def pixels(self) -> int:
        """Length of a spectrum."""
        return self._layout.pixels

    def epoch(
        self,
        seed: int,
        member: int,
        epoch: int,
        size: int,
        steps: int,
        first: int = 0,
        stop: Callable[[], bool] = _never,
    ) -> Generator[Batch, None, None]:
        """Yield batches `first` to `steps` - 1 of an epoch, `size` rows each, in the order that the key gives.

        While a batch is waited for, `stop` is asked; if it says True, there are no more.

        Raises:
            StoreDamagedError: spectra cannot be read from the disk.
        """
        key = {"seed": seed, "member": member, "epoch": epoch}
        windows = shuffled_windows(self._layout, self._shards, self._shuffle_shards, **key)
        return self._batches(list(windows), size, range(first, steps), stop)

    def in_order(self, size: int, stop: Callable[[], bool] = _never) -> Generator[Batch, None, None]:
        """Yield all rows once, in order; `stop` and errors as for `epoch`."""
        windows = list(windows_in_order(self._layout, self._shards))
        return self._batches(windows, size, range(-(-self.rows.size // size)), stop)

    def _batches(
        self, windows: list[Window], size: int, steps: range, stop: Callable[[], bool]
    ) -> Generator[Batch, None, None]:
        if not steps:
            return
        order = np.concatenate([window.rows for window in windows])
        rows = torch.from_numpy(order).to(self._device)
        labels = torch.from_numpy(self._labels[order]).to(self._device)
        with closing(self._source.fluxes(windows, size, steps, stop)) as fluxes:
            for step, flux in zip(steps, fluxes, strict=False):  # there may be fewer of them
                part = slice(step * size, (step + 1) * size)
                yield Batch(flux, labels[part], rows[part])


def rank_data(
    store: Store,
    scale: LabelScale,
    shards: Sequence[int],
    config: TrainConfig,
    device: torch.device,
    room: Room,
    log: StageLog,
) -> RankData:
    """Return a process's share of a store, at the place that the configuration or the room for it says.

    Raises:
        ConfigError: there is no room where the configuration wants it.
        StoreDamagedError: spectra cannot be read from the disk.
    """
    layout, limits = store.layout, room.in_words()
    rows = sum(len(layout.rows_of(shard)) for shard in shards)
    size = rows * layout.pixels * np.dtype(layout.dtype).itemsize
    home = room.home(config.residency, size, store.path.name)
    log.info(
        "%s: %d spectra of this process (%s) are %s (train.residency: %s; %s)",
        store.path.name, rows, gigabytes(size), WORDS[home], config.residency, limits,
    )  # fmt: skip
    return RankData(store, scale, shards, device=device, home=home, shuffle_shards=config.shuffle_shards)
