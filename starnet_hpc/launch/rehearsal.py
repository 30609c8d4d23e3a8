"""What the stages that make stores will write and take, from what they do with a few spectra in a folder aside."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from starnet_hpc.augment.rehearsal import rehearse
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import GridFormatError
from starnet_hpc.ingest import FILES_PER_WORKER as TEMPLATES_PER_WORKER
from starnet_hpc.ingest import ingest, listed
from starnet_hpc.observations import listing_of
from starnet_hpc.observe import FILES_PER_WORKER as SPECTRA_PER_WORKER
from starnet_hpc.observe import observe
from starnet_hpc.progress import hushed
from starnet_hpc.stores import Footprint, Layout, Store, StorePlan, forecast, open_store

_FEW, _MORE = 8, 72
"""Files that are read the first and the last time: the difference is what that many files take."""
_SPECTRA = 64
"""Spectra that are augmented."""
_MARKER_BYTES = 174
"""Of an augmented shard: two digests, and the range of its fluxes."""
_FEWEST, _WIDENED = 12, 8
"""Where `grid.cut` leaves fewer of a sample's templates, one so many times larger is tried."""


@dataclass(frozen=True)
class Expected:
    """A store that is to be made."""

    layout: Layout
    disk: Footprint
    exact: bool = True
    """Whether the number of rows is known, and not estimated from a sample."""


@dataclass(frozen=True)
class Trial:
    """What a stage took for a few spectra."""

    count: int
    """Files read, or spectra made."""
    seconds: float
    """CPU time of each, once everything is compiled [s]."""
    first_s: float
    """Time to the end of the first ones, compiling included [s]."""
    per_worker: int = 1
    """Items below which a stage does not start a further worker by itself."""


def rehearse_ingest(config: ExperimentConfig, folder: Path) -> tuple[Expected, Trial, Store]:
    """Return what `grid.zarr` will be, what a file takes, and a store of a few templates.

    Raises:
        StarnetError: whatever `ingest` raises for these files.
    """
    total, widened = listed(config), 1
    while True:
        aside = folder / f"ingest-{widened}"
        few, more = min(_FEW * widened, total), min(_MORE * widened, total)
        try:
            trial, store = _trial(ingest, config, "grid", few, more, aside)
            if len(store) >= _FEWEST or more == total:
                break
        except GridFormatError:  # perhaps none of the few is inside the cut
            cuts = [config.grid.cut, *(extra.cut for extra in config.grid.extra)]
            if more == total or not any(cut.given() for cut in cuts):
                raise
        widened *= _WIDENED
    tried = listed(config, sample=more)
    rows = round(total * len(store) / tried)
    expected = _expected(store, replace(store.layout, rows=rows), exact=tried == total)
    return expected, replace(trial, per_worker=TEMPLATES_PER_WORKER), store


def rehearse_observe(config: ExperimentConfig, folder: Path) -> tuple[Expected, Trial]:
    """Return what `survey.zarr` will be, and what a file takes.

    Raises:
        StarnetError: whatever `observe` raises for these files.
    """
    assert config.survey is not None  # noqa: S101 - who calls this has looked
    rows = len(listing_of(config.survey))
    trial, store = _trial(observe, config, "survey", min(_FEW, rows), min(_MORE, rows), folder / "observe")
    layout = replace(store.layout, rows=rows, shard_rows=min(config.survey.shard_rows, rows))
    return _expected(store, layout), replace(trial, per_worker=SPECTRA_PER_WORKER)


def rehearse_augment(config: ExperimentConfig, grid: Store, folder: Path) -> tuple[dict[str, Expected], Trial]:
    """Return what the three stores of augmented spectra will be, and what a spectrum takes.

    Raises:
        StarnetError: whatever `augment` raises for these templates.
    """
    splits, seconds, first_s = rehearse(config, grid, _SPECTRA, folder / "augment")
    expected = {split.name: Expected(split.layout, forecast(split.plan(), _MARKER_BYTES)) for split in splits}
    return expected, Trial(_SPECTRA, seconds, first_s)


@cache
def start_of(modules: str) -> float:
    """Return the CPU time [s] of a process that imports modules, and does nothing else."""
    with subprocess.Popen([sys.executable, "-c", f"import {modules}"]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def _trial(
    stage: Callable[..., Path], config: ExperimentConfig, name: str, few: int, more: int, folder: Path
) -> tuple[Trial, Store]:
    """Run a stage on a few files, on as few again, and on more; return what one takes, and the last store."""
    wall, cpu = [], []
    for number, count in enumerate((few, few, more)):
        augment = config.augment.model_copy(update={"workers": 1, "scheduler": "local"})
        aside = config.model_copy(update={"run_dir": folder / str(number), "augment": augment})
        clock, start = time.perf_counter(), time.process_time()
        with hushed():
            stage(aside, sample=count)
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - start)
    each = (cpu[2] - cpu[1]) / (more - few) if more > few else cpu[1] / few
    return Trial(more, max(each, 0.0), wall[0]), open_store(aside.store(name), made_by="")


def _expected(sample: Store, layout: Layout, *, exact: bool = True) -> Expected:
    """Return what a store will be of which a sample was made."""
    columns = {name: sample.column(name) for name in sample.column_names}
    grown = {
        # All but a few columns have a value or a vector a row.
        name: np.resize(values, (layout.rows, *values.shape[1:])) if len(values) == len(sample) else values
        for name, values in columns.items()
    }
    plan = StorePlan(sample.path, sample.attributes["recipe"], layout, sample.wavelength, grown, sample.attributes)
    # What a marker says is mostly of the rows of its shard.
    largest = max(file.stat().st_size for file in sample.path.with_suffix(".markers").iterdir())
    share = min(layout.shard_rows, layout.rows) / min(sample.layout.shard_rows, len(sample))
    return Expected(layout, forecast(plan, largest * share), exact)
