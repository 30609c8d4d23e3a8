"""The shape of a store on disk: rows, pixels, shards, and the chunks inside a shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

_INNER_ROWS = 16
"""Rows of an inner chunk: whole shards then read at the disk's rate, and single rows not much slower (docs/stores.md)."""


@dataclass(frozen=True)
class Layout:
    """How the fluxes of a store are cut into files."""

    rows: int
    pixels: int
    shard_rows: int
    dtype: Literal["float16", "float32"] = "float32"
    mapped: bool = False
    """Plain uncompressed files that can be memory-mapped row by row, instead of shards with inner chunks."""

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


def create_arrays(
    path: Path,
    layout: Layout,
    wavelength: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Create an empty store: `wavelength` and small `columns` [rows, ...] filled in, `flux` waiting for its shards."""
    group = zarr.create_group(path, overwrite=False, attributes=dict(attributes))
    group.create_array("wavelength", data=np.asarray(wavelength, dtype=np.float64), compressors=None)
    group["wavelength"].attrs.update({"unit": "Angstrom", "medium": "air"})
    flux_shape = (layout.rows, layout.pixels)
    block = (layout.shard_rows, layout.pixels)
    # Flux is nearly noise and packs only 1.2 times, so it is stored as it is: reading then costs no CPU.
    if layout.mapped:
        group.create_array("flux", shape=flux_shape, chunks=block, dtype=layout.dtype, compressors=None, fill_value=np.nan)
    else:
        group.create_array(
            "flux",
            shape=flux_shape,
            chunks=(layout.inner_rows, layout.pixels),
            shards=block,
            dtype=layout.dtype,
            compressors=None,
            fill_value=np.nan,
        )
    for name, values in columns.items():
        write_column(group, name, values)


def write_column(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    """Write one value (or one short vector) a row, in a single chunk, replacing what was there."""
    if values.dtype.kind in "UOT":
        array = group.create_array(name, shape=values.shape, chunks=values.shape, dtype="str", overwrite=True)
        array[...] = values.astype(object)
    else:
        group.create_array(name, data=values, chunks=values.shape, overwrite=True)
