"""Augment: `grid.zarr` in; `train.zarr`, `valid.zarr` and `test.zarr` out."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from starnet_hpc import parallel
from starnet_hpc.augment.bias import keep_continuum_bias
from starnet_hpc.augment.draws import Draws
from starnet_hpc.augment.examples import keep_examples
from starnet_hpc.augment.shards import ShardTask, ShardWork, make_shard, normalised, store_into
from starnet_hpc.augment.splits import Split, plan_splits, spectrum_recipe
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import CoverageError, InterruptedRunError, ResolutionError, StoreMismatchError
from starnet_hpc.instruments import C_KMS, Instrument, check_native, load_instrument
from starnet_hpc.interrupts import StopRequest, stop_requests
from starnet_hpc.kernels.broadening import COARSEST
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Store, StoreBuild, building, open_store


def augment(config: ExperimentConfig) -> None:
    """Build the three stores of an experiment, or finish what an earlier run left.

    Raises:
        MissingInputError: there is no `grid.zarr`.
        CoverageError: the templates are too short for the instrument and the largest velocities.
        ResolutionError: the templates are too coarse for the instrument, or smoother than it is.
        StoreMismatchError: a store of another configuration lies in the run directory.
        RunDirectoryBusyError: another process is building them.
        InterruptedRunError: a signal asked to stop; finished shards are kept.
    """
    with stage_log("augment", config.run_dir) as log, stop_requests() as stop, ExitStack() as locks:
        grid = open_store(config.store("grid"), made_by="ingest")
        instrument = load_instrument(config.instrument)
        check_coverage(grid, instrument, config)
        _check_resolution(grid, instrument, config)
        if config.augment.continuum == "clip":
            instrument.check_segments(config.augment.continuum_segment)
        for remark in instrument.remarks:
            log.info("instrument %s: %s", instrument.name, remark)
        if not instrument.tellurics().any():
            log.info("instrument %s has no telluric windows in its range: step viii masks nothing", instrument.name)
        splits = plan_splits(config, grid, instrument)
        for split in splits:
            _say_between(split, log)
        builds = [locks.enter_context(building(**vars(split.plan()))) for split in splits]
        if not all(build.complete for build in builds):
            _compile_kernels(config, grid, instrument, log)
            _make_shards(config, grid, splits, builds, log, stop)
        for split, build in zip(splits, builds, strict=True):
            if split.name == "test":
                _keep_for_the_report(config, grid, instrument, split, again=not build.complete)
            _finish(split, build, log)


def _make_shards(
    config: ExperimentConfig,
    grid: Store,
    splits: list[Split],
    builds: list[StoreBuild],
    log: StageLog,
    stop: StopRequest,
) -> None:
    """Compute what is missing of all three stores, so that workers start only once."""
    missing = [build.missing() for build in builds]
    total = sum(split.layout.rows for split in splits)
    todo = sum(
        len(split.layout.rows_of(shard)) for split, shards in zip(splits, missing, strict=True) for shard in shards
    )

    def work() -> Iterator[ShardWork]:
        """Yield one shard at a time, so that what waits takes no memory."""
        for split, build, shards in zip(splits, builds, missing, strict=True):
            task = ShardTask(
                split.path, split.layout, build.recipe_digest, grid.path, grid.content_digest, split.spectra
            )
            for shard in shards:
                yield ShardWork(task, shard, split.draws.rows(split.layout.rows_of(shard)))

    with (
        parallel.workers(config, tasks=sum(map(len, missing)), stop=lambda: bool(stop)) as pool,
        log.bar("augment", total, "spectra", done=total - todo) as bar,
    ):
        for _, rows in pool.each(make_shard, work()):
            bar.advance(rows)
    left = sum(len(build.missing()) for build in builds)
    if stop.signal and left:
        raise InterruptedRunError(
            f"{config.run_dir}: stopped by {stop.signal.name} with {left} of "
            f"{sum(split.layout.shards for split in splits)} shards to do; run the same command again to go on"
        )


def _keep_for_the_report(
    config: ExperimentConfig, grid: Store, instrument: Instrument, test: Split, *, again: bool
) -> None:
    """Write what figures of the continuum need and the stores do not hold, unless it is there from before."""
    examples, bias = (config.run_dir / name for name in ("examples.npz", "continuum_bias.npz"))
    if again or not examples.exists():
        keep_examples(examples, test, grid)
    if config.augment.continuum != "none" and (again or not bias.exists()):
        keep_continuum_bias(bias, config, grid, instrument)


def _finish(split: Split, build: StoreBuild, log: StageLog) -> None:
    rows, pixels = split.layout.rows, split.layout.pixels
    if build.complete:
        log.info("%s: complete already, %d spectra", split.path, rows)
        return
    build.finalise()
    log.info("%s: %d spectra of %d templates, %d pixels", split.path, rows, split.templates, pixels)


def _say_between(split: Split, log: StageLog) -> None:
    if split.between is None:
        return
    facts = split.between.facts
    steps = ", ".join(f"{name} {step:.4g}" for name, step in facts["steps"].items())
    log.info("%s: spectra lie between nodes, in %d cells; the grid's steps: %s", split.name, facts["cells"], steps)
    if facts["templates_alone"]:
        log.warning(
            "%d of its %d templates have no neighbours within augment.between_nodes_reach and are used as they are",
            facts["templates_alone"],
            split.templates,
        )


def _compile_kernels(config: ExperimentConfig, grid: Store, instrument: Instrument, log: StageLog) -> None:
    """Compile (or load from Numba's cache) in this process, so that workers find compiled kernels."""
    start = time.monotonic()
    nothing = np.zeros(1, dtype=np.float32)
    draws = Draws(np.zeros(1, dtype=np.int32), nothing, nothing, nothing, nothing)
    for flux in normalised(spectrum_recipe(config, grid, instrument, "warm-up"), grid.mapped_rows(), draws):
        store_into(np.empty(flux.size, dtype=config.augment.dtype), flux, 0)
    log.info("kernels: compiled, or found compiled, in %.1f s", time.monotonic() - start)


def _check_resolution(grid: Store, instrument: Instrument, config: ExperimentConfig) -> None:
    native, given = grid.attributes.get("native_resolution"), config.grid.resolution
    if given is not None and given != native:
        raise StoreMismatchError(
            f"{grid.path}: was made with templates of resolution {native or 'without limit'}, but grid.resolution is "
            f"{given:g}; remove this store and ingest the grid again, or set grid.resolution back"
        )
    check_native(native, instrument.sharpest, str(grid.path))
    step = C_KMS * float(np.log(grid.wavelength[-1] / grid.wavelength[0])) / (grid.wavelength.size - 1)
    largest = COARSEST * instrument.narrowest_sigma_kms
    if step > largest:
        raise ResolutionError(
            f"{grid.path}: templates have steps of {step:.2f} km/s, but {instrument.name} needs {largest:.2f} km/s or "
            f"less; ingest the grid again with this configuration, or with a smaller grid.step_kms"
        )


def check_coverage(grid: Store, instrument: Instrument, config: ExperimentConfig) -> None:
    """Raise CoverageError if the templates are too short for the instrument and the largest velocities."""
    low, high = instrument.template_range(vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max)
    first, last = float(grid.wavelength[0]), float(grid.wavelength[-1])
    step = grid.wavelength[1] - grid.wavelength[0]
    if first > low + step or last < high - step:
        raise CoverageError(
            f"{grid.path}: templates cover {first:.2f}-{last:.2f} A, but {instrument.name} with augment.vrad_max "
            f"{config.augment.vrad_max:g} and augment.vsini_max {config.augment.vsini_max:g} km/s needs "
            f"{low:.2f}-{high:.2f} A; ingest the grid again with this configuration, or lower the velocities"
        )
