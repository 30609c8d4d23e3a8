"""Writing a store: whole shards, a marker after each, and `complete` only when all of them are there.

One process owns the build (`StoreBuild`); any number of workers call `write_shard`, each for shards of its own. A killed
build is taken up again by the next one: shards whose marker is there and matches are kept, the others are written anew.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.stores.files import explain_full_disk, only_writer, read_json, write_json
from starnet_hpc.stores.layout import Layout, create_arrays, write_column

FORMAT_VERSION = 1


@dataclass(frozen=True)
class StoreBuild:
    """A store that this process is building."""

    path: Path
    layout: Layout
    recipe_digest: str
    complete: bool
    """Whether an earlier run finished the store from the same recipe: nothing is left to do."""

    def missing(self) -> list[int]:
        """Return the shards that have no matching marker yet."""
        return [] if self.complete else [s for s in range(self.layout.shards) if self._marker(s) is None]

    def finalise(self, columns: Mapping[str, NDArray[Any]] | None = None, **attributes: Any) -> None:
        """Merge the markers, write columns that only the shards could tell, and mark the store complete."""
        markers = [self._marker(shard) for shard in range(self.layout.shards)]
        if any(marker is None for marker in markers):
            raise RuntimeError(f"{self.path}: finalise was called with shards missing")
        with explain_full_disk(self.path):
            group = zarr.open_group(self.path, mode="r+")
            for name, values in (columns or {}).items():
                write_column(group, name, values)
            digests = [marker["digest"] for marker in markers if marker]
            content = provenance.digest_recipe({"shards": digests, "recipe": self.recipe_digest})
            group.attrs.update({**attributes, "content_digest": content, "complete": True})

    def discard(self) -> None:
        """Remove what was written, because nothing of it can be used."""
        for folder in (marker_path(self.path, 0).parent, self.path):
            shutil.rmtree(folder, ignore_errors=True)

    def facts(self) -> Iterator[dict[str, Any]]:
        """Yield what `write_shard` was told about each shard, in the order of the rows."""
        for shard in range(self.layout.shards):
            marker = self._marker(shard)
            if marker is not None:
                yield marker["facts"]

    def _marker(self, shard: int) -> dict[str, Any] | None:
        try:
            marker: dict[str, Any] = read_json(marker_path(self.path, shard))
        except (FileNotFoundError, ValueError):
            return None
        return marker if marker.get("recipe") == self.recipe_digest else None


@contextmanager
def building(
    path: Path,
    *,
    recipe: Mapping[str, Any],
    layout: Layout,
    wavelength: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> Iterator[StoreBuild]:
    """Begin a store, or take up one that an earlier run began from the same recipe.

    Args:
        path: the store, `NAME.zarr`.
        recipe: plain values that the content is a function of.
        layout: rows, pixels and shards.
        wavelength: pixel centres [pixels], angstrom in air.
        columns: arrays [rows, ...] that are known before the fluxes are.
        attributes: what readers need besides (`label_names`, ...).

    Raises:
        StoreMismatchError: a store of another recipe lies there.
        RunDirectoryBusyError: another process is building it.
    """
    digest = provenance.digest_recipe(recipe)
    with only_writer(path):
        found = _found_attributes(path)
        if found is None:
            _begin(path, layout, wavelength, columns, {**attributes, **_head(recipe, digest)})
        elif found.get("recipe_digest") != digest:
            raise _mismatch(path, recipe, found.get("recipe", {}))
        yield StoreBuild(path, layout, digest, bool(found and found.get("complete")))


def finished(path: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether a complete store from this recipe lies at `path`; asked before work that `building` would need.

    Args:
        path: the store, `NAME.zarr`.
        recipe: the part of the store's recipe that is known beforehand; keys that it lacks are not compared.

    Raises:
        StoreMismatchError: a store of another recipe lies there, complete or not.
    """
    found = _found_attributes(path)
    if found is None:
        return False
    theirs = {key: value for key, value in found.get("recipe", {}).items() if key in recipe}
    if provenance.digest_recipe(theirs) != provenance.digest_recipe(recipe):
        raise _mismatch(path, recipe, theirs)
    return bool(found.get("complete"))


def write_shard(
    path: Path, layout: Layout, recipe_digest: str, shard: int, flux: NDArray[np.floating[Any]], facts: Mapping[str, Any]
) -> str:
    """Write one whole shard at once, then its marker; return the digest of its content.

    Args:
        path: the store.
        layout: the store's layout.
        recipe_digest: of the build that asked for it.
        shard: which one.
        flux: [rows of the shard, pixels], of the store's dtype.
        facts: plain values to keep with the marker (bad rows, statistics, columns).
    """
    rows = layout.rows_of(shard)
    if flux.shape != (len(rows), layout.pixels) or flux.dtype != layout.dtype:
        raise ValueError(f"shard {shard} needs {(len(rows), layout.pixels)} {layout.dtype}, got {flux.shape} {flux.dtype}")
    digest = provenance.digest_array(flux)
    with explain_full_disk(path):
        array = zarr.open_group(path, mode="r+")["flux"]
        assert isinstance(array, zarr.Array)
        array[rows.start : rows.stop] = flux
        write_json(marker_path(path, shard), {"recipe": recipe_digest, "digest": digest, "facts": dict(facts)})
    return digest


def marker_path(path: Path, shard: int) -> Path:
    """Return where the marker of a shard of the store `path` lies (beside the store, which stays pure Zarr)."""
    return path.with_suffix(".markers") / f"shard-{shard:06d}.json"


def _head(recipe: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {
        "complete": False,
        "store_format": FORMAT_VERSION,
        "recipe": dict(recipe),
        "recipe_digest": digest,
        "software": provenance.software(),
    }


def _mismatch(path: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> StoreMismatchError:
    changed = provenance.differences(ours, theirs)
    return StoreMismatchError(
        f"{path} was made from another configuration or other inputs:\n  "
        + "\n  ".join(changed or ["(its recipe cannot be read)"])
        + "\nchoose another run_dir, or remove this store to have it made anew"
    )


def _found_attributes(path: Path) -> dict[str, Any] | None:
    if not (path / "zarr.json").exists():
        return None
    return dict(zarr.open_group(path, mode="r").attrs)


def _begin(
    path: Path,
    layout: Layout,
    wavelength: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Create the empty store aside and rename it, so that a store is never there with half of its columns."""
    aside = path.with_name(f".{path.name}.partial")
    markers = marker_path(path, 0).parent
    for leftover in (aside, markers, path):
        shutil.rmtree(leftover, ignore_errors=True)
    with explain_full_disk(path):
        create_arrays(aside, layout, wavelength, columns, attributes)
        markers.mkdir(parents=True)
        aside.rename(path)
