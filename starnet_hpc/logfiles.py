"""The two files of a log: timed lines for people, and JSON lines for machines."""

import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LAST = 3
"""Lines of each log that are told of a rank that said nothing of an error."""
PLAIN = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
"""How lines for people look, in files and on a screen that is no terminal."""


def log_files(folder: Path, stage: str, rank: int) -> list[logging.Handler]:
    """Return handlers that add to `STAGE.log` and `STAGE.jsonl`, or `STAGE-rankN.*` of a rank that is not the first.

    Args:
        folder: where they lie; it is there.
        stage: what speaks, `augment` or `train-03`.
        rank: of this process among those that do it together, from 0.
    """
    name = f"{stage}-rank{rank}" if rank else stage
    text = _LogFile(folder / f"{name}.log", encoding="utf-8")
    text.setFormatter(PLAIN)
    lines = _LogFile(folder / f"{name}.jsonl", encoding="utf-8")
    lines.setFormatter(JsonLine(stage, rank))
    return [text, lines]


def last_words(folder: Path, stage: str, since: float) -> list[str]:
    """Return what ranks of a stage that failed said at last, a line each: their errors, else the ends of their logs.

    What the first rank said of an error is left out: it stands on the screen.

    Args:
        folder: where the logs lie.
        stage: what the ranks did.
        since: when they were started [s since 1970].
    """
    ends, errors, on_screen = [], [], set()
    for path in sorted(folder.glob(f"{stage}*.jsonl"), key=lambda path: (len(path.name), path.name)):
        # Lines have whole milliseconds.
        lines = [line for line in _read(path) if _when(line) > since - 0.001 and line["stage"] == stage]
        ends += [_who_said(line) for line in lines[-_LAST:]]
        on_screen |= {line["message"] for line in lines if "error" in line and not line["rank"]}
        errors += [line for line in lines if "error" in line and line["rank"]]
    if not errors and not on_screen:
        return ends
    return [_who_said(line) for line in errors if line["message"] not in on_screen]


def _who_said(line: dict[str, Any]) -> str:
    return f"rank {line['rank']} on {line['host']}: {line['message']}"


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):  # the last one of a process that was killed
                yield json.loads(line)


def _when(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


class JsonLine(logging.Formatter):
    """A record as one line of JSON; docs/logs.md lists its keys.

    A record's attribute `data`, a dictionary, adds keys.
    """

    def __init__(self, stage: str, rank: int) -> None:
        super().__init__()
        self._place = {"stage": stage, "rank": rank, "host": socket.gethostname(), "pid": os.getpid()} | _slurm_job()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname} | self._place | {"message": record.getMessage()}
        return json.dumps(line | getattr(record, "data", {}), ensure_ascii=False)


def _slurm_job() -> dict[str, str | int]:
    """Return the job of this process, and how often it has been queued again; nothing outside Slurm."""
    if not (job := os.environ.get("SLURM_JOB_ID")):
        return {}
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return {"job": job, "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0"))}


class _LogFile(logging.FileHandler):
    """A log file on a disk that may be full: lines are lost then, but nobody's work, and no traceback is printed."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written before
            super().close()
