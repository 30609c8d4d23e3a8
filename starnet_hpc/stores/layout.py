"""The shape of a store on disk: rows, pixels, shards, and the chunks inside a shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from starnet_hpc.stores.columns import WAVELENGTH, write_columns

_INNER_ROWS = 16
"""Rows of an inner chunk: whole shards read at the disk's rate, and single rows not much slower (docs/design.md)."""
_INDEX_ENTRY, _INDEX_CHECKSUM = 16, 4
"""Bytes: at the end of a shard stand offset and length of each inner chunk, and a checksum of these."""


@dataclass(frozen=True)
class Layout:
    """How the fluxes of a store are cut into files."""

    rows: int
    pixels: int
    shard_rows: int
    dtype: Literal["float16", "float32"] = "float32"
    mapped: bool = False
    """Plain uncompressed files of which single rows can be read, instead of shards with inner chunks."""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.shard_rows)

    def rows_of(self, shard: int) -> range:
        """Return the rows of a shard; the last one may be short."""
        return range(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.rows))

    @property
    def inner_rows(self) -> int:
        """Rows of a chunk inside a shard: the largest divisor of `shard_rows` up to 16."""
        return max(n for n in range(1, min(_INNER_ROWS, self.shard_rows) + 1) if self.shard_rows % n == 0)

    def bytes_of(self, shard: int) -> int:
        """Return the size of a finished shard's file."""
        row = self.pixels * np.dtype(self.dtype).itemsize
        if self.mapped:
            return self.shard_rows * row  # Zarr pads the last file
        written = -(-len(self.rows_of(shard)) // self.inner_rows)
        index = _INDEX_ENTRY * (self.shard_rows // self.inner_rows) + _INDEX_CHECKSUM
        return written * self.inner_rows * row + index


def shard_file(path: Path, shard: int) -> Path:
    """Return the file in which a shard of the store `path` lies."""
    return path / "flux" / "c" / str(shard) / "0"


def create_arrays(
    path: Path | MemoryStore,
    layout: Layout,
    wavelength: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Create an empty store, on disk or in memory: `wavelength` and small `columns` filled in, `flux` to come."""
    group = zarr.create_group(path, overwrite=False, attributes=dict(attributes))
    block = (layout.shard_rows, layout.pixels)
    # Flux is mostly noise: what codecs save in bytes costs more than it is worth (benchmarks/RESULTS.md).
    group.create_array(
        "flux",
        shape=(layout.rows, layout.pixels),
        chunks=block if layout.mapped else (layout.inner_rows, layout.pixels),
        shards=None if layout.mapped else block,
        dtype=layout.dtype,
        compressors=None,
        fill_value=np.nan,
    )
    write_columns(group, {WAVELENGTH: wavelength, **columns})
