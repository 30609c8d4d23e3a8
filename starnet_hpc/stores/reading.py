"""Reading finished stores."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec

from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreIncompleteError, StoreMismatchError
from starnet_hpc.stores.build import open_group
from starnet_hpc.stores.columns import DIGESTS, UNREADABLE, WAVELENGTH
from starnet_hpc.stores.layout import Layout, shard_file
from starnet_hpc.stores.markers import is_whole, marker_folder
from starnet_hpc.stores.shardfile import read_rows, scatter_rows

_OPEN_FILES = 256
"""Files of a `mapped` store that a process keeps open; systems allow as few as 1,024."""


@dataclass(frozen=True)
class Store:
    """A finished store of spectra."""

    path: Path
    group: zarr.Group

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Everything its builder wrote about it."""
        return dict(self.group.attrs)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the columns of `labels`."""
        return tuple(self.attributes["label_names"])

    @property
    def content_digest(self) -> str:
        """Digest of recipe and fluxes; two stores with the same one hold the same spectra."""
        return str(self.attributes["content_digest"])

    @cached_property
    def layout(self) -> Layout:
        """Rows, pixels and shards of the fluxes."""
        flux = self._array("flux")
        rows, pixels = flux.shape
        dtype: Any = flux.dtype.name
        block = flux.shards or flux.chunks
        return Layout(rows, pixels, block[0], dtype, mapped=flux.shards is None)

    def __len__(self) -> int:
        return self.layout.rows

    @cached_property
    def wavelength(self) -> NDArray[np.float64]:
        """Pixel centres [pixels], angstrom in air."""
        return np.asarray(self._array("wavelength")[...], dtype=np.float64)

    def has(self, name: str) -> bool:
        """Whether the store has a column of this name (`labels`, `draws/vsini`, ...)."""
        return name in self.group

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, besides `wavelength`."""
        return tuple(name for name in self.attributes[DIGESTS] if name != WAVELENGTH)

    def column(self, name: str) -> NDArray[Any]:
        """Return a small column [rows, ...] whole; text as an array of Python strings."""
        values = np.asarray(self._array(name)[...])
        return values.astype(object) if values.dtype.kind in "UOT" else values

    def labels(self, names: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Return some of the labels [rows, labels] in this order; by default all.

        Raises:
            StoreMismatchError: the store lacks one of them.
        """
        whole: NDArray[np.float64] = self.column("labels").astype(np.float64)
        if names is None:
            return whole
        missing = [name for name in names if name not in self.label_names]
        if missing:
            raise StoreMismatchError(
                f"{self.path}: has no label {', '.join(missing)}; its labels are {', '.join(self.label_names)}"
            )
        return whole[:, [self.label_names.index(name) for name in names]]

    def read(self, start: int, stop: int) -> NDArray[np.floating[Any]]:
        """Return the fluxes [stop - start, pixels] of consecutive rows, as stored (float16 or float32).

        Raises:
            StoreDamagedError: a shard's file is missing, truncated, or cannot be read.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        shape = (max(stop - start, 0), self.layout.pixels)
        out = np.empty(shape, dtype=np.dtype(self.layout.dtype).newbyteorder("<"))
        first, size = start, self.layout.shard_rows
        while first < stop:
            shard, inside = divmod(first, size)
            last = min(stop, (shard + 1) * size)
            self._fill(out[first - start : last - start], shard, inside)
            first = last
        return out

    def read_shard(self, shard: int, out: NDArray[np.floating[Any]], places: NDArray[np.int64]) -> None:
        """Read a whole shard, its k-th row to `out[places[k]]`; one pass over the file, one copy of its bytes.

        Args:
            shard: which one.
            out: [n, pixels], C-contiguous, of the store's dtype.
            places: of the shard's rows in `out`, each another.

        Raises:
            StoreDamagedError: the shard's file is missing, truncated, or cannot be read.
        """
        if not self._directly(shard, lambda file: scatter_rows(file, self.layout, shard, out, places)):
            out[places] = self._by_zarr(shard, self.layout.rows_of(shard))

    def mapped_rows(self) -> "MappedRows":
        """Return the fluxes for reading row by row; only for stores whose layout is `mapped`."""
        return MappedRows(self.path, self.layout)

    def _fill(self, out: NDArray[np.floating[Any]], shard: int, first: int) -> None:
        """Read rows of one shard, from the `first` on, into `out` [n, pixels]."""
        if not self._directly(shard, lambda file: read_rows(file, self.layout, shard, first, out)):
            begin = self.layout.rows_of(shard).start + first
            out[:] = self._by_zarr(shard, range(begin, begin + len(out)))

    def _directly(self, shard: int, read: Callable[[Path], bool]) -> bool:
        """Return whether `read` could read a shard's file, without Zarr."""
        try:
            return self._is_plain and read(shard_file(self.path, shard))
        except (FileNotFoundError, EOFError):
            raise _damaged(self.path, self.layout, shard) from None
        except OSError as error:
            raise _damaged(self.path, self.layout, shard, f"cannot be read ({error.strerror})") from error

    def _by_zarr(self, shard: int, rows: range) -> NDArray[np.floating[Any]]:
        """Return the fluxes [n, pixels] of rows of the store that lie in one shard."""
        try:
            flux = np.asarray(self._array("flux")[rows.start : rows.stop])
        except UNREADABLE as error:
            raise _damaged(self.path, self.layout, shard, f"cannot be read ({error})") from error
        if not is_whole(self.path, self.layout, shard):  # asked afterwards: Zarr takes a lost file for NaN
            raise _damaged(self.path, self.layout, shard)
        return flux

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the bytes of the fluxes lie in the files as they are."""
        flux = self._array("flux")
        return not flux.compressors and not flux.filters and flux.serializer == BytesCodec(endian="little")

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        if not isinstance(array, zarr.Array):
            raise KeyError(f"{self.path}: {name} is a group of columns, not a column")
        return array


class MappedRows:
    """Single rows of a `mapped` store straight from the page cache, which all processes of a machine share.

    Rows are read, not memory-mapped: pages of a map count as the memory of each process that touches them, a truncated
    file kills the process, and parallel file systems read maps in small pieces.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        if not layout.mapped:
            raise ValueError(f"{path} is not laid out for reading single rows")
        self._path, self._layout = path, layout
        self._files: OrderedDict[int, _OpenFile] = OrderedDict()

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return the fluxes of one row [pixels].

        Raises:
            StoreDamagedError: the row's file is not there, or too short.
        """
        shard, inside = divmod(row, self._layout.shard_rows)
        size = self._layout.pixels * np.dtype(self._layout.dtype).itemsize
        data = os.pread(self._file(shard).number, size, inside * size)
        if len(data) < size:
            raise _damaged(self._path, self._layout, shard)
        return np.frombuffer(data, dtype=self._layout.dtype)

    def _file(self, shard: int) -> "_OpenFile":
        file = self._files.pop(shard, None)
        if file is None:
            try:
                file = _OpenFile(shard_file(self._path, shard))
            except FileNotFoundError:
                raise _damaged(self._path, self._layout, shard) from None
        self._files[shard] = file  # last in the order of use
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)
        return file


class _OpenFile:
    """A file that is closed when nobody refers to it any more: another thread may be reading what one gives up."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def open_store(path: Path, *, made_by: str) -> Store:
    """Open a finished store.

    Args:
        path: `NAME.zarr`.
        made_by: the command that makes it, for the message when it is not there.

    Raises:
        MissingInputError: there is no store.
        StoreIncompleteError: it was never finished.
        StoreDamagedError: a file of it is missing or truncated.
    """
    if not (path / "zarr.json").exists():
        raise MissingInputError(f"{path}: no such store; make it first with `starnet-hpc {made_by} CONFIG`")
    store = Store(path, open_group(path))
    layout = store.layout
    if not store.attributes.get("complete"):
        done = len(list(marker_folder(path).glob("shard-*.json")))
        raise StoreIncompleteError(
            f"{path}: was not finished ({done} of {layout.shards} shards are there); "
            f"run `starnet-hpc {made_by} CONFIG` again to finish it"
        )
    for shard in range(layout.shards):  # Zarr would read a lost file as NaN
        if not is_whole(path, layout, shard):
            raise _damaged(path, layout, shard)
    return store


def is_complete(path: Path) -> bool:
    """Whether a finished store lies at `path`."""
    return (path / "zarr.json").exists() and bool(open_group(path).attrs.get("complete"))


def _damaged(path: Path, layout: Layout, shard: int, what: str = "is missing or truncated") -> StoreDamagedError:
    rows = layout.rows_of(shard)
    return StoreDamagedError(
        f"{path}: the file of shard {shard} (rows {rows.start} to {rows.stop - 1}) {what}; "
        f"`starnet-hpc verify CONFIG --mend` makes ready for it to be made anew"
    )
