"""What `watch` does with a folder: look, predict what has arrived, write its row, say its line."""

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from starnet_hpc.errors import ConfigError
from starnet_hpc.flags import Flag
from starnet_hpc.grids.fitsfile import identity
from starnet_hpc.interrupts import StopRequest
from starnet_hpc.launch.arrivals import Arrival, Arrivals, state_now
from starnet_hpc.launch.verdicts import WITHOUT_LABELS, verdict, verdict_line
from starnet_hpc.launch.words import time_in_words
from starnet_hpc.observations import file_id
from starnet_hpc.observe import FileReduction
from starnet_hpc.observe.reduction import SurveyRow, reduction_for
from starnet_hpc.predict import Ensemble
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import Cell, Field, GrowingTable, one_line

OWN_FIELDS = (
    Field("file", "string", "", "where the spectrum was read"),
    Field("snr", "float64", "", "signal-to-noise ratio a pixel"),
    Field("masked_fraction", "float64", "", "share of the pixels that are masked"),
    Field("cosmics", "int64", "", "observed pixels that cosmic particles spoilt"),
    Field("frame", "string", "", "velocity frame of the wavelengths"),
    Field("verdict", "string", "", "the flags in words"),
    Field("remark", "string", "", "what was overruled, converted or assumed, or why the file could not be used"),
    Field("identity", "string", "", "length in bytes and checksums of the file"),
    Field("predicted", "string", "", "time of the prediction (UTC)"),
)
"""Columns that catalogues of `predict` do not have."""
_MOST_LETTERS = 300
"""Of an unforeseen error's words."""
_SLICE_S = 0.1
"""A signal is answered within this time."""


@dataclass
class Known:
    """What the catalogue has."""

    rows: int = 0
    spectra: set[tuple[str, str]] = field(default_factory=set)
    """Name and identity of each file: the same file in another folder is the same spectrum."""
    any_labels: bool = False
    """Whether a file could be read with these settings."""

    def remember(self, row: dict[str, str]) -> None:
        """Take note of a row, of which `file`, `identity` and `flags` count."""
        self.rows += 1
        self.spectra.add((Path(row["file"]).name, row["identity"]))
        self.any_labels = self.any_labels or not int(row["flags"]) & WITHOUT_LABELS


@dataclass
class Watcher:
    """One folder, and all that its spectra need."""

    arrivals: Arrivals
    files: FileReduction
    """Which flags problems."""
    ensemble: Ensemble
    table: GrowingTable
    known: Known
    log: StageLog
    counts: Counter[str] = field(default_factory=Counter)
    """Spectra of this command, by what came of them."""
    begun: float = field(default_factory=time.monotonic)
    away: bool = False
    """Whether the folder could not be read at the last look."""

    def run(self, stop: StopRequest, *, once: bool, interval_s: float) -> None:
        """Look and predict until a signal comes or, with `once`, until all that was there at first has its rows.

        Raises:
            OSError: with `once`, the folder cannot be read any more.
            ConfigError, StorageFullError: as `look`.
        """
        wanted: set[str] | None = None
        while not stop:
            begin = time.monotonic()
            self.look(begin, until=begin + interval_s, stop=stop, forgiving=not once)
            wanted = self.arrivals.waiting if wanted is None else wanted
            if once and not wanted & self.arrivals.waiting:
                break
            _pause(begin + interval_s, stop)

    def look(self, now: float, *, until: float, stop: StopRequest, forgiving: bool = True) -> None:
        """Look once, and predict what is ready.

        Args:
            now: time [s] on the monotonic clock.
            until: when to leave the rest for the next look: what has arrived meanwhile goes before a long backlog.
            stop: ends it after the present spectrum.
            forgiving: whether a folder that cannot be read is waited for, as network folders sometimes go away.

        Raises:
            OSError: the folder cannot be read, and is not waited for.
            ConfigError: nothing says what wavelengths mean, and no file has shown yet that the settings are right.
            StorageFullError: there is no space for a row.
        """
        try:
            ready = self.arrivals.look(now)
        except OSError as problem:
            if not forgiving:
                raise
            if not self.away:
                self.log.warning("%s: %s; looking again until it is back", self.arrivals.folder, problem.strerror)
            self.away = True
            return
        if self.away:
            self.log.info("%s is there again", self.arrivals.folder)
        self.away = False
        unsaid: ConfigError | None = None
        for arrival in ready:
            try:
                self._take(arrival)
            except ConfigError as problem:
                unsaid = problem
            if stop or time.monotonic() > until:
                break
        if unsaid is not None and not self.known.any_labels:
            raise unsaid

    def tell_summary(self, stop: StopRequest) -> None:
        """Say what was done."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        self.log.info(
            "%s after %s: %d spectra%s; %s has %d rows",
            f"stopped by {stop.signal.name}" if stop.signal else "done",
            time_in_words(time.monotonic() - self.begun),
            self.counts.total(),
            f" ({kinds})" if kinds else "",
            self.table.path,
            self.known.rows,
        )

    def _take(self, arrival: Arrival) -> None:
        """Predict a file and write its row, unless it is known, still being written, or may yet become whole."""
        size, checksums = identity(arrival.path)
        key = (one_line(arrival.path.name), f"{size} {checksums}".strip())
        if key in self.known.spectra:
            self.arrivals.done(arrival)
            return
        row, frame, remark = self._reduced(arrival.path)
        if state_now(arrival.path) != arrival.state:
            return  # changed or gone while it was read: the next look will tell
        if row.flags & WITHOUT_LABELS and not arrival.settled:
            self.arrivals.later(arrival)
            return
        cells = self._predicted(arrival.path, row)
        cells |= {"frame": frame, "remark": remark, "identity": key[1]}
        self.table.append(cells)
        self.known.remember({"file": key[0], "identity": key[1], "flags": str(cells["flags"])})
        self.arrivals.done(arrival)
        self._tell(cells)

    def _reduced(self, path: Path) -> tuple[SurveyRow, str, str]:
        """Return the row of a file, its velocity frame, and what should be said about it."""
        try:
            return self.files.row(path, float("nan"))
        except ConfigError as problem:
            if not self.known.any_labels:
                raise  # it may be so with every file; once one could be read, this one is the odd one
            remark = str(problem)
        except Exception as problem:  # noqa: BLE001 - one odd file must not end a night
            remark = f"{path}: {type(problem).__name__}: {str(problem)[:_MOST_LETTERS]}"
        return reduction_for(self.files.instrument, self.files.augment).nothing(Flag.UNREADABLE), "", remark

    def _predicted(self, path: Path, row: SurveyRow) -> dict[str, Cell]:
        flux = row.flux.astype(self.files.augment.dtype)[None]  # as a store would keep it
        columns = self.ensemble.columns([file_id(path)], flux, np.array([row.snr]), np.array([int(row.flags)]))
        cells: dict[str, Cell] = {column.name: column.values[0].item() for column in columns}
        return cells | {
            "file": str(path),
            "snr": row.snr,
            "masked_fraction": row.masked_fraction,
            "cosmics": row.cosmics,
            "verdict": verdict(int(cells["flags"])),
            "predicted": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

    def _tell(self, cells: dict[str, Any]) -> None:
        flags = int(cells["flags"])
        self.counts["without labels" if flags & WITHOUT_LABELS else "flagged" if flags else "fine"] += 1
        names = self.ensemble.trained_on.label_names
        _say(verdict_line(cells["id"], names, cells, snr=cells["snr"], flags=flags, remark=cells["remark"]))


def _pause(until: float, stop: StopRequest) -> None:
    """Wait until a time on the monotonic clock, or for a signal, which one long sleep would not answer at once."""
    while not stop and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE_S))


def _say(line: str) -> None:
    """Write a line to standard output, now; letters that it does not know are spelt out."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the lines has gone. The catalogue goes on, and Python shall not complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
