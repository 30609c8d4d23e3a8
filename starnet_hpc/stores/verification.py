"""Whether the bytes of a store are those that were written, and how a damaged one is made ready to be mended."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.stores.build import open_group
from starnet_hpc.stores.columns import damaged_columns
from starnet_hpc.stores.files import explain_full_disk, flush, only_writer
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.stores.markers import is_whole, marker_path, read_marker
from starnet_hpc.stores.reading import Store
from starnet_hpc.stores.shardfile import digest_rows


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written."""

    store: Path
    what: str
    shard: int | None = None
    """None: a column."""
    rows: range = range(0)
    """Rows of the shard."""

    def __str__(self) -> str:
        if self.shard is None:
            return f"{self.store}: {self.what}"
        return f"{self.store}: shard {self.shard} (rows {self.rows.start} to {self.rows.stop - 1}) {self.what}"


@dataclass(frozen=True)
class ShardCheck:
    """What was found in one shard."""

    shard: int
    rows: range
    flux_range: tuple[float, float] = (float("nan"), float("nan"))
    damage: Damage | None = None


def unfinished_shards(path: Path) -> list[int]:
    """Return the shards of an unfinished store that have no marker yet; of a finished store, none."""
    store = Store(path, open_group(path))
    if store.attributes.get("complete"):
        return []
    digest = str(store.attributes.get("recipe_digest"))
    return [shard for shard in range(store.layout.shards) if read_marker(path, shard, digest) is None]


def check_shards(path: Path) -> Iterator[ShardCheck]:
    """Yield what is found in each shard of a store, by its bytes, its digest, and whether its fluxes are finite.

    Shards of an unfinished store that have no marker yet are left out.

    Raises:
        StoreDamagedError: the store's metadata cannot be read.
    """
    store = Store(path, open_group(path))
    left_out = set(unfinished_shards(path))
    for shard in range(store.layout.shards):
        if shard not in left_out:
            yield _check(store, shard)


def check_columns(path: Path) -> list[Damage]:
    """Return the columns that cannot be read, or are not what was written."""
    return [
        Damage(path, f"column {name} is not what was written")
        for name in damaged_columns(zarr.open_group(path, mode="r"))
    ]


def discard_damaged(path: Path, damages: Iterable[Damage]) -> None:
    """Make a store unfinished again, without its damaged shards, so that the stage that made it makes them anew.

    Raises:
        RunDirectoryBusyError: another process is building the store.
    """
    with only_writer(path), explain_full_disk(path):
        # First of all nobody may read it any more; the columns' turn comes when the build goes on.
        zarr.open_group(path, mode="r+").attrs["complete"] = False
        flush(path / "zarr.json")
        for damage in damages:
            if damage.shard is not None:
                marker_path(path, damage.shard).unlink(missing_ok=True)
                shard_file(path, damage.shard).unlink(missing_ok=True)


def _check(store: Store, shard: int) -> ShardCheck:
    path, rows = store.path, store.layout.rows_of(shard)

    def bad(what: str) -> ShardCheck:
        return ShardCheck(shard, rows, damage=Damage(path, what, shard, rows))

    marker = read_marker(path, shard, str(store.attributes.get("recipe_digest")))
    if marker is None:
        return bad("has no marker, so that its content cannot be checked")
    if not is_whole(path, store.layout, shard):
        file = shard_file(path, shard)
        if not file.exists():
            return bad("has lost its file")
        return bad(f"has {file.stat().st_size} bytes instead of {store.layout.bytes_of(shard)}")
    try:
        flux = store.read(rows.start, rows.stop)
    except StoreDamagedError as error:
        return bad(f"cannot be read ({error.__cause__ or 'its file has just gone'})")
    if digest_rows(flux) != marker.get("digest"):
        return bad("has other fluxes than were written")
    if not np.isfinite(flux).all():
        return bad("has fluxes that are not finite")
    return ShardCheck(shard, rows, (float(flux.min()), float(flux.max())))
