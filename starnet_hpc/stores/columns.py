"""Columns of a store: one value, or one short vector, a row; each in a single chunk, with a digest of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.stores.files import flush

WAVELENGTH = "wavelength"
"""One value a pixel instead of a row; otherwise a column like the others."""

UNREADABLE = (ValueError, KeyError, TypeError, RuntimeError)
"""What Zarr and its codecs raise for bytes that are not what they should be."""

DIGESTS = "column_digests"
"""Attribute of a store: the digest of each column, by its name."""


def write_columns(group: zarr.Group, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns and their digests, replacing what was there."""
    digests: dict[str, Any] = dict(_digests(group))
    for name, values in columns.items():
        _write(group, name, values)
        digests[name] = _digest(values)
    group.attrs[DIGESTS] = digests


def flush_columns(path: Path) -> None:
    """Flush all files of a store but the fluxes, which are flushed shard by shard."""
    flush(*(entry for entry in path.iterdir() if entry.name != "flux"))


def damaged_columns(group: zarr.Group) -> list[str]:
    """Return the names of columns that cannot be read, or are not what was written."""
    return [name for name, digest in _digests(group).items() if _digest_on_disk(group, name) != digest]


def _digest_on_disk(group: zarr.Group, name: str) -> str | None:
    try:
        return _digest(np.asarray(group[name][...]))  # type: ignore[index]  # only arrays have digests
    except UNREADABLE:
        return None


def _digests(group: zarr.Group) -> Mapping[str, Any]:
    found = group.attrs.get(DIGESTS)
    return found if isinstance(found, Mapping) else {}


def _digest(values: NDArray[Any]) -> str:
    if _is_text(values):  # however NumPy holds it
        return provenance.digest_recipe({"text": [str(value) for value in values]})
    return provenance.digest_array(values)


def _write(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    if name == WAVELENGTH:
        array = group.create_array(name, data=values, compressors=None, overwrite=True)
        array.attrs.update({"unit": "Angstrom", "medium": "air"})
    elif _is_text(values):
        array = group.create_array(name, shape=values.shape, chunks=values.shape, dtype="str", overwrite=True)
        array[...] = values.astype(object)
    else:
        group.create_array(name, data=values, chunks=values.shape, overwrite=True)


def _is_text(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "UOT"
