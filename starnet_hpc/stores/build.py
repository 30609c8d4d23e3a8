"""Writing a store: whole shards, a marker after each, and `complete` only when all of them are there.

One process owns the build (`StoreBuild`); any number of workers call `write_shard`, each for shards of its own. A
killed build is taken up again by the next one: shards whose marker is there and matches are kept, the others are
written anew.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.errors import StarnetError, StoreDamagedError, StoreMismatchError
from starnet_hpc.stores.columns import UNREADABLE, WAVELENGTH, damaged_columns, flush_columns, write_columns
from starnet_hpc.stores.files import (
    explain_full_disk,
    flush,
    lock_file,
    only_writer,
    remove_leftovers,
    write_atomically,
    write_json,
)
from starnet_hpc.stores.layout import Layout, create_arrays, shard_file
from starnet_hpc.stores.markers import is_whole, marker_folder, marker_path, read_marker
from starnet_hpc.stores.shardfile import checksum, digest_of, write_rows

FORMAT_VERSION = 2
"""Of what `open_store` finds; raised when versions of the package would misread each other's. 2: digests by row."""

_INFINITY, _NEGATIVE_INFINITY = 0x7C00, 0xFC00
"""Bits of the infinities in float16; NaN of either sign have larger ones."""


@dataclass(frozen=True)
class StoreBuild:
    """A store that this process is building."""

    path: Path
    layout: Layout
    recipe_digest: str
    complete: bool
    """Whether an earlier run finished the store from the same recipe: nothing is left to do."""

    def missing(self) -> list[int]:
        """Return the shards that have no matching marker, or no whole file, yet."""
        return [] if self.complete else [s for s in range(self.layout.shards) if not self._is_done(s)]

    def finalise(self, columns: Mapping[str, NDArray[Any]] | None = None, **attributes: Any) -> None:
        """Merge the markers, write columns that only the shards could tell, and mark the store complete."""
        if self.missing():
            raise RuntimeError(f"{self.path}: finalise was called with shards missing")
        with explain_full_disk(self.path):
            group = zarr.open_group(self.path, mode="r+")
            write_columns(group, columns or {})
            digests = [marker["digest"] for marker in self._markers()]
            content = provenance.digest_recipe({"shards": digests, "recipe": self.recipe_digest})
            flush_columns(self.path)
            group.attrs.update({**attributes, "content_digest": content, "complete": True})
            flush(self.path / "zarr.json")

    def discard(self) -> None:
        """Remove what was written, because nothing of it can be used."""
        for folder in (marker_folder(self.path), self.path):
            shutil.rmtree(folder, ignore_errors=True)

    def facts(self) -> Iterator[dict[str, Any]]:
        """Return what `write_shard` was told about each shard, in the order of the rows."""
        return (marker["facts"] for marker in self._markers())

    def _is_done(self, shard: int) -> bool:
        marker = read_marker(self.path, shard, self.recipe_digest)
        return marker is not None and is_whole(self.path, self.layout, shard)

    def _markers(self) -> Iterator[dict[str, Any]]:
        found = (read_marker(self.path, shard, self.recipe_digest) for shard in range(self.layout.shards))
        return (marker for marker in found if marker is not None)


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
            _begin(path, layout, wavelength, columns, {**attributes, **head(recipe)})
        elif found.get("recipe_digest") != digest:
            raise _mismatch(path, recipe, found.get("recipe", {}))
        elif not found.get("complete"):
            _resume(path, {WAVELENGTH: wavelength, **columns})
        if not (found and found.get("complete")):
            lock_file(path).touch()
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
    path: Path,
    layout: Layout,
    recipe_digest: str,
    shard: int,
    flux: NDArray[np.floating[Any]],
    facts: Mapping[str, Any],
    checksums: Sequence[int] | None = None,
) -> str:
    """Write one whole shard at once, then its marker; return the digest of its content.

    Args:
        path: the store.
        layout: the store's layout.
        recipe_digest: of the build that asked for it.
        shard: which one.
        flux: [rows of the shard, pixels], of the store's dtype.
        facts: plain values to keep with the marker (bad rows, statistics, columns).
        checksums: what `checked` has said of each row, if it was asked already.

    Raises:
        StarnetError: a row has a flux that is not finite; nothing was written.
    """
    rows = layout.rows_of(shard)
    if flux.shape != (len(rows), layout.pixels) or flux.dtype != layout.dtype:
        raise ValueError(
            f"shard {shard} needs {(len(rows), layout.pixels)} {layout.dtype}, got {flux.shape} {flux.dtype}"
        )
    if checksums is None:
        checksums = [checked(path, row, fluxes) for row, fluxes in zip(rows, flux, strict=True)]
    digest = digest_of(checksums, layout.dtype, layout.pixels)
    file = shard_file(path, shard)
    with explain_full_disk(path):
        file.parent.mkdir(parents=True, exist_ok=True)
        # On the disk before its marker is: that must not outlive the shard when a machine goes down.
        write_atomically(file, lambda opened: write_rows(opened, layout, flux))
        write_json(marker_path(path, shard), {"recipe": recipe_digest, "digest": digest, "facts": dict(facts)})
    return digest


def checked(path: Path, row: int, flux: NDArray[np.floating[Any]]) -> int:
    """Return the checksum of the fluxes [pixels] of one row of the store `path`, best while they are in a cache.

    Raises:
        StarnetError: one is not finite.
    """
    if not _finite(flux):
        raise StarnetError(f"{path}, row {row}: the flux is not finite, or too large for {flux.dtype}")
    return checksum(flux)


def _finite(flux: NDArray[np.floating[Any]]) -> bool:
    if flux.dtype == np.float16:  # as whole numbers infinities and NaN are the largest; NumPy takes ten times as long
        bits = flux.view(np.uint16)
        return bool(bits.max() < _NEGATIVE_INFINITY and bits.view(np.int16).max() < _INFINITY)
    return bool(np.isfinite(flux).all())


def head(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with which every store begins."""
    return {
        "complete": False,
        "store_format": FORMAT_VERSION,
        "recipe": dict(recipe),
        "recipe_digest": provenance.digest_recipe(recipe),
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
    return dict(open_group(path).attrs) if (path / "zarr.json").exists() else None


def open_group(path: Path) -> zarr.Group:
    """Return the group of a store that is there, complete or not.

    Raises:
        StoreDamagedError: its metadata cannot be read.
        StoreMismatchError: another version of the package made it.
    """
    try:
        group = zarr.open_group(path, mode="r")
        version = group.attrs.get("store_format")
    except UNREADABLE as error:
        raise StoreDamagedError(
            f"{path}: its zarr.json cannot be read ({error}); remove this store to have it made anew"
        ) from None
    if isinstance(version, int) and version != FORMAT_VERSION:
        other = "a later" if version > FORMAT_VERSION else "an earlier"
        raise StoreMismatchError(
            f"{path}: was made by {other} version of starnet_hpc (format {version}, here {FORMAT_VERSION}); "
            f"install that one, or remove this store to have it made anew"
        )
    return group


def _begin(
    path: Path,
    layout: Layout,
    wavelength: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Create the empty store aside and rename it, so that a store is never there with half of its columns."""
    aside = path.with_name(f".{path.name}.partial")
    markers = marker_folder(path)
    for leftover in (aside, markers, path):
        shutil.rmtree(leftover, ignore_errors=True)
    with explain_full_disk(path):
        create_arrays(aside, layout, wavelength, columns, attributes)
        markers.mkdir(parents=True)
        flush(aside)
        aside.rename(path)


def _resume(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Clear up after a killed build, and write columns again whose bytes are not what they were."""
    markers = marker_folder(path)
    with explain_full_disk(path):
        markers.mkdir(parents=True, exist_ok=True)
        for folder in (path, markers):
            remove_leftovers(folder)
        bad = set(damaged_columns(open_group(path)))
        write_columns(zarr.open_group(path, mode="r+"), {name: columns[name] for name in columns if name in bad})
        flush_columns(path)
