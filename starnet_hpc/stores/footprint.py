"""What a store takes on disk: before it is begun, from what `building` would be given, and afterwards."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from starnet_hpc.stores.build import head
from starnet_hpc.stores.files import lock_file
from starnet_hpc.stores.layout import Layout, create_arrays
from starnet_hpc.stores.markers import marker_folder

_FURTHER_FOLDERS = 3
"""Of a store: itself, `flux/c`, and the folder of its markers."""


@dataclass(frozen=True)
class StorePlan:
    """All that `building` needs to begin a store: `building(**vars(plan))`."""

    path: Path
    recipe: Mapping[str, Any]
    layout: Layout
    wavelength: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Footprint:
    """Files, folders and bytes of a store with its markers and its lock."""

    files: int
    folders: int
    bytes: int
    """Sum of the files' lengths; a file system adds up to a block for each file."""

    @property
    def inodes(self) -> int:
        """Files and folders, which quotas count alike."""
        return self.files + self.folders


def forecast(plan: StorePlan, marker_bytes: float) -> Footprint:
    """Return what a store will take when it is finished.

    Args:
        plan: what it will be begun with, and the columns that will be written at its end. Columns whose values are not
            known yet need the right shape and type, and values that compress as well as the true ones.
        marker_bytes: length of one shard's marker.
    """
    files: dict[str, Any] = {}
    memory = MemoryStore(files)
    create_arrays(memory, plan.layout, plan.wavelength, plan.columns, {**plan.attributes, **head(plan.recipe)})
    shards = plan.layout.shards
    fluxes = sum(plan.layout.bytes_of(shard) for shard in range(shards))
    small = sum(len(content) for content in files.values())
    return Footprint(
        files=len(files) + 2 * shards + 1,
        folders=len(_folders(files)) + shards + _FURTHER_FOLDERS,
        bytes=fluxes + small + round(shards * marker_bytes),
    )


def footprint(path: Path) -> Footprint:
    """Return what a store takes now; nothing if it is not there. Others may be writing it meanwhile."""
    sizes: list[int] = []
    folders = 0
    for root in (path, marker_folder(path)):
        for folder, _, names in os.walk(root):
            folders += 1
            for name in names:
                try:
                    sizes.append((Path(folder) / name).stat().st_size)
                except FileNotFoundError:  # renamed or removed since it was listed
                    continue
    lock = lock_file(path).exists()
    return Footprint(len(sizes) + lock, folders, sum(sizes))


def _folders(keys: Iterable[str]) -> set[PurePosixPath]:
    """Return the folders of files, without the one that holds them all."""
    return {parent for key in keys for parent in PurePosixPath(key).parents if parent.name}
