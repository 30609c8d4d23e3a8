"""Reading finished stores."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from starnet_hpc.errors import MissingInputError, StoreIncompleteError
from starnet_hpc.stores.build import marker_path
from starnet_hpc.stores.layout import Layout


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

    def column(self, name: str) -> NDArray[Any]:
        """Return a small column [rows, ...] whole; text as an array of Python strings."""
        values = np.asarray(self._array(name)[...])
        return values.astype(object) if values.dtype.kind in "UOT" else values

    def read(self, start: int, stop: int) -> NDArray[np.floating[Any]]:
        """Return the fluxes [stop - start, pixels] of consecutive rows, as stored (float16 or float32)."""
        return np.asarray(self._array("flux")[start:stop])

    def mapped_rows(self) -> "MappedRows":
        """Return the fluxes as memory-mapped rows; only for stores whose layout is `mapped`."""
        return MappedRows(self.path, self.layout)

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array


class MappedRows:
    """Single rows of a `mapped` store straight from the page cache, shared by all processes of a machine."""

    def __init__(self, path: Path, layout: Layout) -> None:
        if not layout.mapped:
            raise ValueError(f"{path} is not laid out for memory mapping")
        self._files = [path / "flux" / "c" / str(shard) / "0" for shard in range(layout.shards)]
        self._layout = layout
        self._maps: dict[int, NDArray[np.float32]] = {}

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        shard, inside = divmod(row, self._layout.shard_rows)
        if shard not in self._maps:
            shape = (self._layout.shard_rows, self._layout.pixels)  # Zarr pads the last file to full size
            self._maps[shard] = np.memmap(self._files[shard], dtype=self._layout.dtype, mode="r", shape=shape)
        return self._maps[shard][inside]


def open_store(path: Path, *, made_by: str) -> Store:
    """Open a finished store.

    Args:
        path: `NAME.zarr`.
        made_by: the command that makes it, for the message when it is not there.

    Raises:
        MissingInputError: there is no store.
        StoreIncompleteError: it was never finished.
    """
    if not (path / "zarr.json").exists():
        raise MissingInputError(f"{path}: no such store; make it first with `starnet-hpc {made_by} CONFIG`")
    store = Store(path, zarr.open_group(path, mode="r"))
    if not store.attributes.get("complete"):
        done = len(list(marker_path(path, 0).parent.glob("shard-*.json")))
        raise StoreIncompleteError(
            f"{path}: only {done} of {store.layout.shards} shards are there; "
            f"run `starnet-hpc {made_by} CONFIG` again to finish it"
        )
    return store


def is_complete(path: Path) -> bool:
    """Whether a finished store lies at `path`."""
    return (path / "zarr.json").exists() and bool(zarr.open_group(path, mode="r").attrs.get("complete"))
