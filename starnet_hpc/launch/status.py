"""Status: how far a run is, from its files, also while jobs write them elsewhere; and what Slurm says of these jobs."""

import csv
import math
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError
from starnet_hpc.launch.submissions import Submission, noted
from starnet_hpc.launch.waiting import chain_lines, print_lines
from starnet_hpc.launch.words import as_json, time_in_words, wide_console
from starnet_hpc.stores import StoreState, state_of

_STAGES = {"ingest": ("grid",), "augment": ("train", "valid", "test"), "observe": ("survey",)}
"""The stores of each stage, in the order in which it makes them."""
_PREDICTED = ("valid", "test", "survey")
_PATIENCE_S, _PATIENCE_INTERVALS = 120.0, 5.0
"""Who gives no sign of life for longer than both, in seconds and in usual times between two signs, may be dead."""
_STYLE = {"complete": "green", "unreadable": "red", "absent": "dim"}


@dataclass(frozen=True)
class Part:
    """One line: a store, a member, or the prediction of a store."""

    name: str
    state: str
    """`absent`, `unfinished`, `complete` or `unreadable`."""
    done: int
    total: int | None
    """None: not known yet."""
    unit: str
    rate: float | None = None
    """Rows (stores) or epochs (members) a second in the present or last run."""
    left_s: float | None = None
    """Seconds left at this rate, if somebody is at work."""
    last_s: float | None = None
    """Seconds since the last sign of life of an unfinished part."""
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Rows of a store; epoch, losses and restarts of a member."""


def status(config: ExperimentConfig, *, json: bool = False) -> None:
    """Print how far the stores, members and predictions of a run are, and the jobs that `run` has submitted.

    Nothing is written or locked; what is half-written counts as not there yet.

    Args:
        config: of the experiment.
        json: print one JSON object, instead of a table for people.

    Raises:
        MissingInputError: there is no run directory.
    """
    if not config.run_dir.is_dir():
        raise MissingInputError(f"{config.run_dir}: there is no such run directory: nothing was started yet")
    now = time.time()
    stores = {name: state_of(config.store(name)) for names in _STAGES.values() for name in names}
    if config.survey is None and stores["survey"].state == "absent":
        del stores["survey"]
    jobs = noted(config.run_dir / "jobs")
    chain = chain_lines(config, patient=False)
    parts = {
        "stores": list(_stores(stores, now)),
        "members": [_member(config, member, jobs.get(member), now) for member in range(config.ensemble.members)],
        "predictions": [_prediction(config, name, stores[name], now) for name in _PREDICTED if name in stores]
        + [_prediction(config, name, state_of(config.store(name)), now) for name in config.predict.other_tests],
    }
    if json:
        plain = {kind: {part.name: _plain(part) for part in found} for kind, found in parts.items()}
        told = {line.key: {name: value for name, value in asdict(line).items() if name != "key"} for line in chain}
        sys.stdout.write(as_json({"run_dir": str(config.run_dir), "time": now, **plain, "jobs": told}))
    else:
        _print(config, [part for found in parts.values() for part in found])
        print_lines(chain)


def _stores(states: dict[str, StoreState], now: float) -> Iterator[Part]:
    for stage, names in _STAGES.items():
        there = {name: states[name] for name in names if name in states}
        pace = pace_of(list(there.values()))
        signs = [sign for state in there.values() if (sign := _last_sign(state)) is not None]
        silent = _is_silent(now - max(signs), pace.interval_s) if signs else False
        ahead = 0
        for name, state in there.items():
            ahead += state.rows_left
            at_work, sign = state.state == "unfinished", _last_sign(state)
            yield Part(
                name=f"{name}.zarr",
                state=state.state,
                done=state.shards_done,
                total=state.layout.shards if state.layout else None,
                unit="shards",
                rate=pace.rate if at_work else None,
                left_s=ahead / pace.rate if pace.rate and at_work and not silent else None,
                last_s=max(now - sign, 0.0) if sign is not None else None,
                note=state.problem or (_advice(stage) if at_work and silent else ""),
                facts={"rows": state.rows_done, "rows_total": state.layout.rows if state.layout else None},
            )


@dataclass(frozen=True)
class Pace:
    """How fast a stage makes its stores."""

    rate: float | None = None
    """Rows a second; None: not known yet."""
    interval_s: float = 0.0
    """Mean time from one shard to the next [s]."""


def pace_of(states: Sequence[StoreState]) -> Pace:
    """Return how fast the stage that makes these stores has been since it was started last.

    Shards of earlier runs do not count, nor the time between the runs. All stores of a stage are made in one go.
    """
    begun = [state.begun for state in states if state.begun is not None and state.state == "unfinished"]
    if not begun:
        return Pace()
    start = min(begun)
    marks = [(rows, written) for state in states for rows, written in state.marked if written >= start]
    took = max((written for _, written in marks), default=start) - start
    return Pace(sum(rows for rows, _ in marks) / took, took / len(marks)) if took > 0 else Pace()


def _last_sign(state: StoreState) -> float | None:
    """Return when an unfinished store was last begun or got a shard."""
    if state.state != "unfinished":
        return None
    signs = [*(written for _, written in state.marked), *([state.begun] if state.begun is not None else [])]
    return max(signs, default=None)


def _is_silent(since_s: float, interval_s: float) -> bool:
    """Whether signs of life have been missing for so long that probably nobody is at work."""
    return since_s > max(_PATIENCE_S, _PATIENCE_INTERVALS * interval_s)


def _advice(stage: str) -> str:
    return f"silent: unless a job is at work, `starnet-hpc {stage} CONFIG` goes on"


def _member(config: ExperimentConfig, member: int, submission: Submission | None, now: float) -> Part:
    folder = config.member_dir(member)
    history = _history(folder / "history.csv")
    epochs = config.train.epochs
    trained = (folder / "best.pt").exists()
    # Epochs of an earlier version do not tell how long their validation took.
    seconds = [steps + (_known(row, "valid_seconds") or 0.0) for row in history if (steps := _known(row, "seconds"))]
    each = float(np.median(seconds)) if seconds else None
    state = "complete" if trained else "unfinished" if folder.is_dir() else "absent"
    unfinished = state == "unfinished"
    last = _age(folder / "history.csv", now) if unfinished else None
    silent = last is not None and _is_silent(last, each or 0.0)
    facts = _learned(history)
    job = submission.job if submission and not trained else None
    told = [*_told(facts), *([f"Slurm job {job}"] if job else []), *([_advice("ensemble")] if silent else [])]
    return Part(
        name=f"member {member:02d}",
        state=state,
        done=len(history),
        total=epochs,
        unit="epochs",
        rate=1.0 / each if each and unfinished else None,
        left_s=each * max(epochs - len(history), 0) if each and unfinished and not silent else None,
        last_s=last,
        note="; ".join(told),
        facts={**facts, "job": job, "trained": trained},
    )


def _learned(history: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return epoch, losses and restarts of a history as plain values; None where it does not tell."""
    last = history[-1] if history else {}
    valid = [(loss, number) for number, row in enumerate(history, 1) if (loss := _known(row, "valid_loss")) is not None]
    best_loss, best_epoch = min(valid, default=(None, None))
    restarts = _known(last, "restarts")
    return {
        "epoch": len(history),
        "train_loss": _known(last, "train_loss"),
        "valid_loss": _known(last, "valid_loss"),
        "best_valid_loss": best_loss,
        "best_epoch": best_epoch,
        "restarts": None if restarts is None else int(restarts),
    }


def _told(facts: dict[str, Any]) -> list[str]:
    """Return in words what a member has learned."""
    losses = [f"{facts[f'{of}_loss']:.3f} {of}" for of in ("train", "valid") if facts[f"{of}_loss"] is not None]
    told = [f"loss {', '.join(losses)}"] if losses else []
    if facts["best_epoch"] is not None:
        told.append(f"best {facts['best_valid_loss']:.4f} in epoch {facts['best_epoch']}")
    if facts["restarts"]:
        told.append(f"restarts: {facts['restarts']}")
    return told


def _known(row: dict[str, float], name: str) -> float | None:
    value = row.get(name, math.nan)
    return value if math.isfinite(value) else None


def _history(path: Path) -> list[dict[str, float]]:
    """Return the lines of a history that can be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    found = []
    for row in rows:
        try:
            found.append({str(name): float(value) for name, value in row.items()})
        except (TypeError, ValueError):  # half a line
            continue
    return found


def _prediction(config: ExperimentConfig, name: str, store: StoreState, now: float) -> Part:
    folder = config.run_dir / "predictions" / name
    done, newest = _units(folder)
    total = math.ceil(store.layout.rows / config.predict.shard_rows) if store.layout else None
    joined = (folder / ("calibrated.json" if name == "valid" else "catalogue.json")).exists()
    state = "complete" if joined and done == total else "unfinished" if done else "absent"
    last = max(now - newest, 0.0) if newest is not None and state == "unfinished" else None
    note = f"{config.catalogue(name).name}" if state == "complete" and name != "valid" else ""
    return Part(f"predict {name}", state, done, total, "units", last_s=last, note=note)


def _units(folder: Path) -> tuple[int, float | None]:
    """Return how many units there are of the prediction that wrote the newest one, and when that was written."""
    found: list[tuple[float, str]] = []
    for path in folder.glob("unit-*.npz"):
        try:
            with zipfile.ZipFile(path) as file:
                recipe = file.read("recipe.npy").hex()
            found.append((path.stat().st_mtime, recipe))
        except (OSError, KeyError, zipfile.BadZipFile):
            continue
    if not found:
        return 0, None
    newest, recipe = max(found)
    return Counter(one for _, one in found)[recipe], newest


def _age(path: Path, now: float) -> float | None:
    try:
        return max(now - path.stat().st_mtime, 0.0)
    except OSError:
        return None


def _plain(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if name not in {"name", "facts"}} | part.facts


def _print(config: ExperimentConfig, parts: Sequence[Part]) -> None:
    table = Table(box=None, pad_edge=False, title=escape(str(config.run_dir)), title_justify="left")
    for title in ("", "state", "done", "rate", "time left", "last sign", ""):
        table.add_column(title, justify="left" if title in {"", "state"} else "right", overflow="fold")
    for part in parts:
        style = _STYLE.get(part.state, "yellow")
        total = "?" if part.total is None else f"{part.total:,}"
        per = "rows" if part.unit == "shards" else part.unit
        table.add_row(
            escape(part.name),
            f"[{style}]{part.state}[/]",
            f"{part.done:,} of {total} {part.unit}",
            "" if part.rate is None else f"{part.rate:.3g} {per}/s",
            "" if part.left_s is None else time_in_words(part.left_s),
            "" if part.last_s is None else f"{time_in_words(part.last_s)} ago",
            escape(part.note),
        )
    wide_console().print(table)
