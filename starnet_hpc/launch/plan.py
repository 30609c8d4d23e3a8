"""Plan: what a configuration will write and take, before anything is started or written."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from starnet_hpc import parallel
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StorageFullError
from starnet_hpc.ingest import listed
from starnet_hpc.labels import training_labels
from starnet_hpc.launch.planlearning import PlannedLearning, plan_learning, rows_of_table, warnings
from starnet_hpc.launch.rehearsal import (
    Expected,
    Trial,
    rehearse_augment,
    rehearse_ingest,
    rehearse_observe,
    start_of,
)
from starnet_hpc.launch.rundir import refuse_other
from starnet_hpc.launch.words import as_json, bytes_in_words, time_in_words, wide_console
from starnet_hpc.stores import Store, StoreState, footprint, open_store, state_of

_SPLITS = ("train", "valid", "test")
_HOUR_S = 3600.0
_NOT_COUNTED = "bytes not counted: weights and checkpoints of the members, predictions, catalogues and the report"
_ON_CORES = (
    "ensemble, predict: measured on a core of this machine, which has no GPU, and shared evenly by all cores of all "
    "processes"
)
_STARTS = "times of stages have what their processes take to start in them"


@dataclass(frozen=True)
class PlannedStore:
    """One store: what it will be, and what of it is there."""

    name: str
    rows: int
    shards: int
    files: int
    inodes: int
    bytes: int
    exact: bool
    """Whether the number of rows is known, not estimated from a sample of the grid."""
    bytes_there: int
    inodes_there: int
    rows_there: int


@dataclass(frozen=True)
class PlannedStage:
    """One stage that makes stores: what is left to do."""

    name: str
    items: int
    unit: str
    cpu_s: float
    """CPU time of one item on this machine [s]."""
    start_s: float
    """CPU time until a process has imported what it needs [s]."""
    core_hours: float
    workers: int | None
    """None: as many as an MPI launcher or a running scheduler has."""
    wall_s: float | None


@dataclass
class Plan:
    """All that can be told beforehand."""

    stores: list[PlannedStore] = field(default_factory=list)
    stages: list[PlannedStage] = field(default_factory=list)
    learning: list[PlannedLearning] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What a reader should know of the numbers."""

    @property
    def bytes_needed(self) -> int:
        """Bytes that are still to be written."""
        return sum(max(store.bytes - store.bytes_there, 0) for store in self.stores)

    @property
    def inodes_needed(self) -> int:
        """Files and folders that are still to be created."""
        return sum(max(store.inodes - store.inodes_there, 0) for store in self.stores)


@dataclass(frozen=True)
class Disk:
    """The file system that a run directory lies on, or will."""

    folder: Path
    """The run directory, or the nearest folder above it that is there."""
    free: int
    """Bytes that this user may still write; a quota may be less."""
    block: int
    """Bytes in which files are given space."""
    inodes: int | None
    """Free inodes; None where the file system has no fixed number of them."""


def plan(config: ExperimentConfig, *, json: bool = False) -> None:
    """Print what a configuration will write and take, and whether there is room for it.

    Args:
        config: of the experiment.
        json: print one JSON object, instead of tables for people.

    Raises:
        StorageFullError: it does not fit on the disk; the plan was printed.
        StoreMismatchError: the run directory belongs to another experiment.
        StarnetError: whatever a stage raises for a few of its inputs.
    """
    refuse_other(config)
    with tempfile.TemporaryDirectory(prefix="starnet-plan-") as scratch:
        found = make_plan(config, Path(scratch))
    disk = disk_of(config.run_dir)
    needed = found.bytes_needed + disk.block * found.inodes_needed
    problem = _does_not_fit(disk, needed, found.inodes_needed)
    walls = {stage.name: stage.wall_s for stage in found.stages if stage.wall_s is not None}
    walls |= {one.name: one.wall_s for one in found.learning}
    warned = warnings(config, needed, found.inodes_needed, walls)
    if json:
        sys.stdout.write(as_json({**_plain(found, disk, needed, problem), "warnings": warned}))
    else:
        _print(found, disk, needed, warned)
    if problem:
        raise StorageFullError(f"{config.run_dir}: {problem}; free some, or choose another run_dir or fewer spectra")


def make_plan(config: ExperimentConfig, scratch: Path) -> Plan:
    """Return the plan of an experiment; nothing is written but in the folder `scratch`."""
    found = Plan()
    states = {name: state_of(config.store(name)) for name in ("grid", *_SPLITS, "survey")}
    if config.survey is not None:
        _plan_survey(config, states["survey"], scratch, found)
    if all(states[name].state == "complete" for name in ("grid", *_SPLITS)):
        found.stores += [_there(config, name, states[name]) for name in ("grid", *_SPLITS)]
        names = open_store(config.store("train"), made_by="augment").label_names
        _add_learning(config, found, names, open_store(config.store("grid"), made_by="ingest"))
        return found
    grid = _plan_grid(config, states["grid"], scratch, found)
    tried = config
    if states["grid"].state != "complete" and config.augment.between_nodes != "none":
        tried = config.model_copy(update={"augment": config.augment.model_copy(update={"between_nodes": "none"})})
        found.told.append(
            "augment: planned as if at nodes; between them spectra take longer: plan again after `ingest`"
        )
    expected, trial = rehearse_augment(tried, grid, scratch)
    found.stores += [_planned(config, name, expected[name], states[name]) for name in _SPLITS]
    rows = sum(store.rows - store.rows_there for store in found.stores if store.name in _SPLITS)
    _add_stage(config, found, "augment", rows, "spectra", trial)
    _add_learning(config, found, training_labels(grid.label_names), grid)
    return found


def _add_learning(config: ExperimentConfig, found: Plan, label_names: Sequence[str], grid: Store) -> None:
    labels = config.train.labels or label_names
    found.learning += plan_learning(config, labels, {store.name: store.rows for store in found.stores}, grid)
    if any(one.core_hours is not None for one in found.learning):
        found.told.append(_ON_CORES)


def disk_of(run_dir: Path) -> Disk:
    """Return the file system of a folder that need not be there yet."""
    folder = next(parent for parent in (run_dir, *run_dir.parents) if parent.is_dir())
    status = os.statvfs(folder)
    inodes = status.f_favail if status.f_files else None
    return Disk(folder, status.f_bavail * status.f_frsize, status.f_bsize, inodes)


def _plan_survey(config: ExperimentConfig, state: StoreState, scratch: Path, found: Plan) -> None:
    if state.state == "complete":
        found.stores.append(_there(config, "survey", state))
        return
    expected, trial = rehearse_observe(config, scratch)
    found.stores.append(_planned(config, "survey", expected, state))
    _add_stage(config, found, "observe", expected.layout.rows - state.rows_done, "files", trial)


def _plan_grid(config: ExperimentConfig, state: StoreState, scratch: Path, found: Plan) -> Store:
    """Plan `grid.zarr`; return it if it is there, else one of a few templates."""
    if state.state == "complete":
        found.stores.append(_there(config, "grid", state))
        return open_store(config.store("grid"), made_by="ingest")
    expected, trial, grid = rehearse_ingest(config, scratch)
    found.stores.append(_planned(config, "grid", expected, state))
    _add_stage(config, found, "ingest", listed(config), "templates", trial)
    if not expected.exact:
        found.told.append(
            f"templates: estimated from {trial.count} of {listed(config)}, of which {len(grid)} can be used"
        )
    return grid


def _add_stage(config: ExperimentConfig, found: Plan, name: str, items: int, unit: str, trial: Trial) -> None:
    workers = config.augment.workers if config.augment.scheduler == "slurm" else None
    if config.augment.scheduler == "local":
        worth = max(1, items // trial.per_worker)
        workers = config.augment.workers or min(parallel.available_cores(), worth)
    start_s = start_of("starnet_hpc.ingest, starnet_hpc.augment, starnet_hpc.observe")
    # One worker is the process itself; several start when it has, on one machine as forks of one that has imported all.
    alone, together = workers == 1, config.augment.scheduler == "local"
    processes, waves = (1, 1) if alone else (2 if together else 1 + (workers or 0), 2)
    cpu_s = items * trial.seconds
    core_hours = (cpu_s + processes * start_s) / _HOUR_S
    wall_s = cpu_s / workers + waves * start_s if workers else None
    found.stages.append(PlannedStage(name, items, unit, trial.seconds, start_s, core_hours, workers, wall_s))
    found.told.append(
        f"{name}: {1e3 * trial.seconds:.3g} ms of CPU time each, from {trial.count} {unit} in this process "
        f"(compiling, {trial.first_s:.1f} s with the first ones, and waiting for the disk are not counted)"
    )


def _planned(config: ExperimentConfig, name: str, expected: Expected, state: StoreState) -> PlannedStore:
    there, layout, disk = footprint(config.store(name)), expected.layout, expected.disk
    return PlannedStore(
        name, layout.rows, layout.shards, disk.files, disk.inodes, disk.bytes, expected.exact,
        there.bytes, there.inodes, state.rows_done,
    )  # fmt: skip


def _there(config: ExperimentConfig, name: str, state: StoreState) -> PlannedStore:
    assert state.layout is not None  # noqa: S101 - a complete store has one
    return _planned(config, name, Expected(state.layout, footprint(config.store(name))), state)


def _does_not_fit(disk: Disk, needed: int, inodes: int) -> str:
    if needed > disk.free:
        return f"{bytes_in_words(needed)} are to be written, but {bytes_in_words(disk.free)} are free on {disk.folder}"
    if disk.inodes is not None and inodes > disk.inodes:
        return f"{inodes} files and folders are to be made, but {disk.inodes} inodes are free on {disk.folder}"
    return ""


def _plain(found: Plan, disk: Disk, needed: int, problem: str) -> dict[str, Any]:
    return {
        "stores": {store.name: _without_name(store) for store in found.stores},
        "stages": {stage.name: _without_name(stage) for stage in found.stages},
        "learning": {one.name: _without_name(one) for one in found.learning},
        "disk": {
            "folder": str(disk.folder),
            "bytes_needed": needed,
            "bytes_free": disk.free,
            "inodes_needed": found.inodes_needed,
            "inodes_free": disk.inodes,
            "fits": not problem,
        },
        "told": found.told,
    }


def _without_name(one: PlannedStore | PlannedStage | PlannedLearning) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name != "name"}


def _print(found: Plan, disk: Disk, needed: int, warned: Sequence[str]) -> None:
    console = wide_console()
    console.print(_stores_table(found))
    free = bytes_in_words(disk.free)
    console.print(escape(f"{bytes_in_words(needed)} to write, {free} free on {disk.folder} (a quota may be less)\n"))
    console.print(_stages_table(found))
    for line in warned:
        console.print(escape(f"warning: {line}"), style="yellow")
    for line in (*found.told, _STARTS, _NOT_COUNTED):
        console.print(escape(line), style="dim")


def _stores_table(found: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("store")
    for title in ("rows", "shards", "files", "inodes", "bytes", "there"):
        table.add_column(title, justify="right")
    for store in found.stores:
        about = "" if store.exact else "~"
        cells = (f"{about}{store.rows:,}", f"{store.shards:,}", f"{store.files:,}", f"{store.inodes:,}")
        there = bytes_in_words(store.bytes_there) if store.bytes_there else ""
        table.add_row(f"{store.name}.zarr", *cells, bytes_in_words(store.bytes), there)
    sums = [sum(getattr(store, name) for store in found.stores) for name in ("shards", "files", "inodes")]
    total, there = (sum(getattr(store, name) for store in found.stores) for name in ("bytes", "bytes_there"))
    table.add_row("all", "", *(f"{value:,}" for value in sums), bytes_in_words(total), bytes_in_words(there))
    return table


def _stages_table(found: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "to do", "core-hours", "workers", "time"):
        table.add_column(title, justify="left" if title == "stage" else "right", overflow="fold")
    for row in (*_rows_of_stages(found), *rows_of_table(found.learning)):
        table.add_row(*row)
    return table


def _rows_of_stages(found: Plan) -> Iterator[tuple[str, ...]]:
    for stage in found.stages:
        workers = "?" if stage.workers is None else str(stage.workers)
        wall = "?" if stage.wall_s is None else time_in_words(stage.wall_s)
        yield stage.name, f"{stage.items:,} {stage.unit}", f"{stage.core_hours:.2g}", workers, wall
