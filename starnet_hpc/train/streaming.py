"""Spectra that are read from the disk while a member is trained on those that were read before.

A thread reads whole files into one of two buffers, each row to the place at which the order of the epoch wants it;
meanwhile batches are slices of the other one. Memory is that of two windows, however large the store is.
"""

import queue
import threading
from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from starnet_hpc.stores import Store
from starnet_hpc.train.order import Window
from starnet_hpc.train.transfer import host_memory, on_device

_LOOK_EVERY_S = 0.1
"""While nothing has come from the disk, this often it is asked whether to wait any longer."""
_PATIENCE_S = 2.0
"""A thread that should end may read the shard to its end for so long; then it is left to itself."""


class Streamed:
    """The rows of a rank on the disk, a window or two of them in memory."""

    def __init__(self, store: Store, device: torch.device) -> None:
        """Prepare for reading, and for batches on a device."""
        self._store, self._device = store, device
        self._pixels = store.layout.pixels
        self._dtype: torch.dtype = getattr(torch, store.layout.dtype)
        self._buffers: list[Tensor] = []

    def fluxes(
        self, windows: Sequence[Window], size: int, steps: range, stop: Callable[[], bool]
    ) -> Generator[Tensor, None, None]:
        """Yield the fluxes [size, pixels] of some batches of the order that `windows` are.

        Args:
            windows: of a whole epoch.
            size: rows of a batch; the last one may be short.
            steps: batches that are wanted, consecutive ones.
            stop: asked while waiting for the disk; where it says True, the batches end early.

        Raises:
            StoreDamagedError: a shard's file is missing, truncated, or cannot be read.
        """
        ends = np.cumsum([window.rows.size for window in windows])
        first, last = steps.start * size, min(steps.stop * size, int(ends[-1]))
        skipped = int(np.searchsorted(ends, first, side="right"))
        needed = windows[skipped : int(np.searchsorted(ends, last, side="left")) + 1]
        if not self._buffers:
            most = max(window.rows.size for window in windows)
            self._buffers = [self._room(most) for _ in windows[:2]]
        ahead = _ReadAhead(self._store, needed, self._buffers)
        try:
            inside = first - (int(ends[skipped - 1]) if skipped else 0)
            sizes = [min((step + 1) * size, last) - step * size for step in steps]
            yield from on_device(self._slices(ahead, inside, sizes, stop), self._device)
        finally:
            if not ahead.close():
                self._buffers = []  # that thread has them still

    def _slices(
        self, ahead: "_ReadAhead", begin: int, sizes: Sequence[int], stop: Callable[[], bool]
    ) -> Generator[Tensor, None, None]:
        """Yield so many rows at a time of consecutive windows, from row `begin` of the first one on."""
        window = ahead.next(stop)
        joint = self._room(max(sizes))
        for size in sizes:
            filled = 0
            while window is not None:
                part = window[begin : begin + size - filled]
                begin += part.shape[0]
                if part.shape[0] == size:
                    yield part
                    break
                # Some rows are in this window, others in the next one, or in several more if windows are small.
                joint[filled : filled + part.shape[0]] = part
                filled += part.shape[0]
                if filled == size:
                    yield joint[:size]
                    break
                window, begin = ahead.next(stop), 0

    def _room(self, rows: int) -> Tensor:
        return host_memory((rows, self._pixels), self._dtype, self._device)


class _ReadAhead:
    """A thread that reads windows into buffers, one window ahead of the one that is being used."""

    def __init__(self, store: Store, windows: Sequence[Window], buffers: Sequence[Tensor]) -> None:
        self._free: queue.SimpleQueue[Tensor | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[Tensor, int] | Exception] = queue.SimpleQueue()
        self._used: Tensor | None = None
        self._ended = threading.Event()
        for buffer in buffers:
            self._free.put(buffer)
        # A daemon: a program that ends does not wait for a disk that hangs.
        self._thread = threading.Thread(target=self._run, args=(store, windows), name="read-ahead", daemon=True)
        self._thread.start()

    def next(self, stop: Callable[[], bool]) -> Tensor | None:
        """Return the fluxes [rows, pixels] of the next window in their order; the one before is written over.

        None says that `stop` has put an end to the waiting.

        Raises:
            Exception: whatever went wrong in the thread.
        """
        if self._used is not None:
            self._free.put(self._used)
            self._used = None
        while True:
            try:
                found = self._full.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if stop():
                    return None
                continue
            if isinstance(found, Exception):
                raise found
            self._used, rows = found
            return self._used[:rows]

    def close(self) -> bool:
        """End the thread; return False if it could not be waited for."""
        self._ended.set()
        self._free.put(None)
        self._thread.join(_PATIENCE_S)
        return not self._thread.is_alive()

    def _run(self, store: Store, windows: Sequence[Window]) -> None:
        try:
            for window in windows:
                buffer = self._free.get()
                if buffer is None:
                    return
                self._read(store, window, buffer)
                self._full.put((buffer, window.rows.size))
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for the window
            self._full.put(error)

    def _read(self, store: Store, window: Window, buffer: Tensor) -> None:
        places = np.argsort(window.rows)  # where the rows of the window's shards, in ascending order, are wanted
        begin = 0
        for shard in window.shards:
            if self._ended.is_set():
                return
            count = len(store.layout.rows_of(shard))
            store.read_shard(shard, buffer.numpy(), places[begin : begin + count])
            begin += count
