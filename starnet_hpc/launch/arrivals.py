"""Which spectra have arrived in a folder: files that have stopped changing, by looking again and again.

The kernel could tell of new files by itself (inotify), but only of those that this machine writes: on a network file
system, where telescopes deliver, it stays silent. Looking works everywhere.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc.errors import MissingInputError

State = tuple[int, int, int]
"""Size [bytes], time of the last change of content and of attributes [ns]: whoever writes, renames or opens up a file
for reading changes one of them."""


@dataclass(frozen=True)
class Arrival:
    """A file that looked the same twice."""

    path: Path
    state: State
    settled: bool
    """Whether it has stayed the same for so long that nobody is still writing it, be it whole or not."""


@dataclass
class _Waiting:
    state: State
    since: float
    """When it was first seen like this [s]."""
    tried: bool = False
    """Whether it could not be used like this, and may yet become whole."""


class Arrivals:
    """The spectra of a folder that are new since the last look.

    Args:
        folder: where files arrive; its subfolders are not entered.
        endings: of the names of spectra, in groups: the folder's are those of the first group that it has any of.
        patience_s: a file that cannot be used is tried once more when it has not changed for so long [s].
    """

    def __init__(self, folder: Path, endings: Sequence[tuple[str, ...]], patience_s: float) -> None:
        self.folder = folder
        self._endings = endings
        self._patience_s = patience_s
        self._waiting: dict[str, _Waiting] = {}
        self._done: dict[str, State] = {}
        self._backlog: set[str] | None = None

    @property
    def waiting(self) -> set[str]:
        """Names of files that were seen and are not done."""
        return set(self._waiting)

    def look(self, now: float) -> list[Arrival]:
        """Return the files that are ready to be read: what came last goes before what was there at the first look.

        Args:
            now: time [s] on a clock that never goes back.

        Raises:
            OSError: the folder cannot be read (now).
        """
        found = self._found()
        if self._backlog is None:
            self._backlog = set(found)
        for gone in self._waiting.keys() - found.keys():
            del self._waiting[gone]
        for gone in self._done.keys() - found.keys():
            del self._done[gone]
        ready = []
        for name, state in found.items():
            if self._done.get(name) == state:
                continue
            seen = self._waiting.get(name)
            if seen is None or seen.state != state:
                self._waiting[name] = _Waiting(state, now)
                continue
            settled = now - seen.since >= self._patience_s
            if settled or not seen.tried:
                ready.append(Arrival(self.folder / name, state, settled))
        backlog = self._backlog
        return sorted(ready, key=lambda arrival: (arrival.path.name in backlog, arrival.state[1], arrival.path.name))

    def done(self, arrival: Arrival) -> None:
        """Leave a file alone until it changes."""
        self._waiting.pop(arrival.path.name, None)
        self._done[arrival.path.name] = arrival.state

    def later(self, arrival: Arrival) -> None:
        """Come back to a file that could not be used when it has changed, or when patience is over."""
        if (seen := self._waiting.get(arrival.path.name)) is not None:
            seen.tried = True

    def _found(self) -> dict[str, State]:
        """Return name and state of the folder's spectra, as far as their names tell; hidden files are none.

        rsync and others give a file that is under way a hidden name, and its own when it is whole.
        """
        with os.scandir(self.folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
        for endings in self._endings:
            chosen = [entry for entry in shown if entry.name.lower().endswith(endings)]
            if states := {entry.name: state for entry in chosen if (state := _state(entry)) is not None}:
                return states
        return {}


def state_now(path: Path) -> State | None:
    """Return the state of a file as its file system has it now; None if it is not there any more."""
    # A network file system asks its server when a file is opened; without that it may tell what it knew seconds ago.
    with contextlib.suppress(OSError), path.open("rb"):
        pass
    try:
        return _of(path.stat())
    except OSError:
        return None


def check_folder(folder: Path) -> None:
    """Raise if there is no such folder, or none that can be read.

    Raises:
        MissingInputError: with what is wrong.
    """
    try:
        with os.scandir(folder):
            pass
    except FileNotFoundError:
        raise MissingInputError(f"{folder}: there is no such folder; give the one in which spectra arrive") from None
    except NotADirectoryError:
        raise MissingInputError(f"{folder}: is a file; give the folder in which spectra arrive") from None
    except PermissionError:
        raise MissingInputError(f"{folder}: permission denied; ask its owner for read and search permission") from None


def _state(entry: os.DirEntry[str]) -> State | None:
    """Return the state of a file; None for what is no file, or has just gone."""
    try:
        return _of(entry.stat()) if entry.is_file() else None
    except OSError:
        return None


def _of(status: os.stat_result) -> State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
