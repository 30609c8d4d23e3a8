"""A shard's marker: a small file that says that the shard is there, what made it, and what it holds.

Markers lie beside the store, which stays pure Zarr.
"""

from pathlib import Path
from typing import Any

from starnet_hpc.stores.files import read_json
from starnet_hpc.stores.layout import Layout, shard_file


def marker_folder(path: Path) -> Path:
    """Return the folder with the markers of the store `path`."""
    return path.with_suffix(".markers")


def marker_path(path: Path, shard: int) -> Path:
    """Return where the marker of a shard of the store `path` lies."""
    return marker_folder(path) / f"shard-{shard:06d}.json"


def read_marker(path: Path, shard: int, recipe_digest: str) -> dict[str, Any] | None:
    """Return the marker of a shard, or None if there is none, it is torn, or it tells of another recipe."""
    try:
        marker: Any = read_json(marker_path(path, shard))
    except (FileNotFoundError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("recipe") == recipe_digest else None


def is_whole(path: Path, layout: Layout, shard: int) -> bool:
    """Whether a shard's file is there with all its bytes."""
    file = shard_file(path, shard)
    return file.exists() and file.stat().st_size == layout.bytes_of(shard)
