"""What a stage tells people: timed lines in a log file, and a moving bar where there is a terminal."""

import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from starnet_hpc.errors import InterruptedRunError
from starnet_hpc.logfiles import PLAIN, log_files

_LINE_EVERY_S = 10.0
"""A progress line is written this often at most."""

_FOR_FILES = "for_files"
"""Marks a line that the screen need not show: a bar moves there, or the command itself says it."""


class Bar:
    """Progress of one piece of work, with its rate and the time left."""

    def __init__(
        self, log: logging.Logger, title: str, total: int, unit: str, done: int = 0, *, quiet: bool = False
    ) -> None:
        self._log, self._title, self._total, self._unit = log, title, total, unit
        self._drawn = sys.stderr.isatty() and not quiet
        self._skipped, self._done = done, done
        self._start = self._last_line = time.monotonic()
        self._live: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> "Bar":
        if self._drawn:
            progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn(f"{self._unit}  {{task.fields[rate]}}"),
                TimeRemainingColumn(compact=True),
                console=_console(),
                transient=True,
            )
            progress.start()
            self._live = progress, progress.add_task(self._title, total=self._total, completed=self._done, rate="")
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if self._live:
            self._live[0].stop()
        elapsed = time.monotonic() - self._start
        done = self._done - self._skipped
        if kind is None and done:
            words = "%s: %d %s in %.1f s (%s)"
            self._log.info(words, self._title, done, self._unit, elapsed, self._rate(), extra=self._data())

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more units as done; `note` is shown behind the rate."""
        self._done += count
        now = time.monotonic()
        if self._live:
            progress, task = self._live
            progress.update(task, advance=count, rate=f"{self._rate()} {note}")
        if now - self._last_line >= _LINE_EVERY_S and self._done < self._total:
            self._last_line = now
            left = (now - self._start) * (self._total - self._done) / max(self._done - self._skipped, 1)
            self._log.info(
                "%s: %d of %d %s, %s, %.0f s left %s",
                self._title,
                self._done,
                self._total,
                self._unit,
                self._rate(),
                left,
                note,
                extra={_FOR_FILES: self._drawn} | self._data(),
            )

    def _data(self) -> dict[str, object]:
        """Return what JSON lines say of it."""
        seconds = round(time.monotonic() - self._start, 3)
        numbers = {"done": self._done, "total": self._total, "done_before": self._skipped, "seconds": seconds}
        return {"data": {"progress": {"title": self._title, "unit": self._unit} | numbers}}

    def _rate(self) -> str:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        return f"{(self._done - self._skipped) / elapsed:.4g} {self._unit}/s"


class StageLog:
    """The voice of one stage."""

    def __init__(self, logger: logging.Logger, *, quiet: bool = False) -> None:
        self._logger, self._quiet = logger, quiet

    def info(self, message: str, *args: object) -> None:
        """Tell something that is as it should be."""
        self._logger.info(message, *args)

    def warning(self, message: str, *args: object) -> None:
        """Tell something that the user should look at."""
        self._logger.warning(message, *args)

    def bar(self, title: str, total: int, unit: str, done: int = 0) -> Bar:
        """Return a context manager that shows the progress of `total` units, `done` of which were there before."""
        return Bar(self._logger, title, total, unit, done, quiet=self._quiet)


_hushed: ContextVar[bool] = ContextVar("hushed", default=False)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Have stages that run within say nothing on the screen, because another command runs them for its own ends."""
    token = _hushed.set(True)
    try:
        yield
    finally:
        _hushed.reset(token)


@contextlib.contextmanager
def stage_log(stage: str, run_dir: Path, *, rank: int = 0) -> Iterator[StageLog]:
    """Give a stage its log: `run_dir/logs/STAGE.log`, `STAGE.jsonl` for machines and, of the first rank, the screen.

    What ends the stage stands at the end of both files; the screen has it from the command.

    Args:
        stage: what speaks, `augment` or `train-03`.
        run_dir: of the run.
        rank: of this process among those that do it together, from 0; others than the first have files of their own.
    """
    quiet = rank > 0 or _hushed.get()
    folder = run_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"starnet_hpc.{stage}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handlers = log_files(folder, stage, rank)
    if not quiet:
        handlers.append(_screen())
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield StageLog(logger, quiet=quiet)
    except Exception as error:
        level = logging.WARNING if isinstance(error, InterruptedRunError) else logging.ERROR
        logger.log(level, "%s: %s", type(error).__name__, error, extra={_FOR_FILES: True, "data": _trace(error)})
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _trace(error: Exception) -> dict[str, str]:
    """Return what JSON lines say of an error; text for people has no tracebacks."""
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_exception(error))}


@lru_cache(maxsize=1)
def _console() -> Console:
    """One console for lines and bars: two would write into each other's."""
    return Console(stderr=True)


def _screen() -> logging.Handler:
    screen: logging.Handler
    if sys.stderr.isatty():
        screen = RichHandler(console=_console(), show_path=False, log_time_format="[%X]", highlighter=None)
        screen.setFormatter(logging.Formatter("%(message)s"))
    else:
        screen = logging.StreamHandler(sys.stderr)
        screen.setFormatter(PLAIN)
    screen.addFilter(lambda record: not getattr(record, _FOR_FILES, False))
    return screen
