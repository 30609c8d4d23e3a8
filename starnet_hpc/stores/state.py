"""How far a store is, seen from outside: only by reading, while somebody else may be writing it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starnet_hpc.errors import StarnetError
from starnet_hpc.stores.build import open_group
from starnet_hpc.stores.columns import UNREADABLE
from starnet_hpc.stores.files import lock_file
from starnet_hpc.stores.layout import Layout
from starnet_hpc.stores.markers import marker_folder
from starnet_hpc.stores.reading import Store

_MARKER = re.compile(r"shard-(\d+)\.json")


@dataclass(frozen=True)
class StoreState:
    """What there is of a store."""

    state: Literal["absent", "unfinished", "complete", "unreadable"]
    layout: Layout | None = None
    """None where no layout can be read."""
    marked: tuple[tuple[int, float], ...] = ()
    """Rows of each finished shard, and when its marker was written [s since 1970, by the file system's clock]."""
    begun: float | None = None
    """When the present (or last) writer began, by the same clock; None where nobody has."""
    problem: str = ""
    """Why it is unreadable."""

    @property
    def rows_done(self) -> int:
        """Rows in finished shards."""
        if self.state == "complete" and self.layout:
            return self.layout.rows
        return sum(rows for rows, _ in self.marked)

    @property
    def shards_done(self) -> int:
        """Finished shards."""
        return self.layout.shards if self.state == "complete" and self.layout else len(self.marked)

    @property
    def rows_left(self) -> int:
        """Rows that are still to be made."""
        return self.layout.rows - self.rows_done if self.layout else 0


def state_of(path: Path) -> StoreState:
    """Return how far the store `path` is."""
    if not (path / "zarr.json").exists():
        return StoreState("absent")
    try:
        store = Store(path, open_group(path))
        layout, complete = store.layout, bool(store.attributes.get("complete"))
    except (StarnetError, OSError, *UNREADABLE) as error:
        return StoreState("unreadable", problem=str(error))
    lock = _written(lock_file(path))
    return StoreState("complete" if complete else "unfinished", layout, _marked(path, layout), lock)


def _marked(path: Path, layout: Layout) -> tuple[tuple[int, float], ...]:
    """Return rows and time of every marker, by time; markers are whole or absent, so that their names are enough."""
    try:
        names = [file.name for file in marker_folder(path).iterdir()]
    except FileNotFoundError:
        return ()
    found = []
    for match in map(_MARKER.fullmatch, names):
        if match is None or int(match[1]) >= layout.shards:
            continue
        time = _written(marker_folder(path) / match[0])
        if time is not None:
            found.append((len(layout.rows_of(int(match[1]))), time))
    return tuple(sorted(found, key=lambda mark: mark[1]))


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile, or out of reach for a moment
        return None
