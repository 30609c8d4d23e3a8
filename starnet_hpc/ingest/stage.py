"""Stage `ingest`: read a grid twice (census, then fluxes), write `grid.zarr` once."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel, provenance
from starnet_hpc.config import ExperimentConfig, GridConfig
from starnet_hpc.errors import ConfigError, GridFormatError, InterruptedRunError
from starnet_hpc.grids import TemplateSource, reader_for
from starnet_hpc.grids.fitsfile import file_size
from starnet_hpc.ingest.census import Block, Census, Entry, Requirement, advised, usable
from starnet_hpc.ingest.shards import Shard, ShardWriter
from starnet_hpc.ingest.summary import summarise, table
from starnet_hpc.instruments import C_KMS, load_instrument
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Layout, StoreBuild, building, finished, open_store

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")

SHARD_ROWS = 64
"""Templates in one file of `grid.zarr`: about 8 MB, the unit of work and of resuming."""

_STAGE_FORMAT = 1
"""Raised when the same inputs would give another store."""
_CENSUS_BLOCK = 256
_FILES_PER_WORKER = 5_000
"""One process reads this many files before a further worker has even started."""
_SAMPLES_PER_FWHM = 2.0
"""Templates need at least this many samples a resolution element, as the sampling theorem asks."""
_MOST_LISTED = 20


def ingest(config: ExperimentConfig) -> Path:
    """Make `grid.zarr` from the files of a synthetic grid, and return its path.

    A store that an earlier run made from the same configuration and files is left as it is; one that was interrupted is
    finished. The content does not depend on the number of workers.

    Raises:
        MissingInputError: the folder is not there, or holds no file of the format.
        GridFormatError: a file is not what the format promises (or is left out, see `grid.on_error`).
        CoverageError: a template does not cover the instrument's range plus margin.
        ResolutionError: a template is too coarse for the instrument.
        StoreMismatchError: the run directory holds a grid made from something else.
        InterruptedRunError: a signal asked to stop; finished shards are kept.
    """
    path = config.store("grid")
    with stage_log("ingest", config.run_dir) as log:
        need = requirement(config)
        sources = reader_for(config.grid.format).sources(config.grid.path)
        recipe = _recipe(config.grid, need, sources)
        if finished(path, recipe):
            _say_finished(log, path)
            return path
        log.info("%s: %d files in %s", config.grid.format, len(sources), config.grid.path)
        entries, left_out = _select(config, log, _take_census(config, log, sources, need))
        _write(config, log, recipe, entries, left_out, need)
    return path


def requirement(config: ExperimentConfig) -> Requirement:
    """Return what a template must bring: wavelengths, sampling, and labels inside the cut.

    Raises:
        ConfigError: the cut names a label that the grid does not vary.
    """
    instrument = load_instrument(config.instrument)
    low, high = instrument.template_range(vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max)
    largest_step = C_KMS / instrument.config.resolution / _SAMPLES_PER_FWHM
    reader = reader_for(config.grid.format)
    cut = config.grid.cut.given()
    for name in cut:
        if name not in reader.label_names:
            raise ConfigError(
                f"grid.cut.{name}: grids of format {reader.format} do not vary {name}; "
                f"they vary {', '.join(reader.label_names)}"
            )
    return Requirement(reader.format, low, high, largest_step, tuple((name, *cut[name]) for name in sorted(cut)))


def ln_uniform(low: float, high: float, largest_step_kms: float) -> NDArray[np.float64]:
    """Return wavelengths [n] from `low` to `high` [angstrom], equal steps of ln(wavelength) of at most so many km/s."""
    span = math.log(high / low)
    count = math.ceil(span * C_KMS / largest_step_kms) + 1
    return np.asarray(low * np.exp(np.arange(count) * (span / (count - 1))), dtype=np.float64)


def _recipe(grid: GridConfig, need: Requirement, sources: Sequence[TemplateSource]) -> dict[str, Any]:
    """Return what the content is a function of: the folder may move, its files' names and sizes may not change."""
    sizes = {path: file_size(path) for path in dict.fromkeys(source.path for source in sources)}
    listing = [[source.name, sizes[source.path]] for source in sources]
    return {
        "stage": f"ingest {_STAGE_FORMAT}",
        "grid": grid.model_dump(mode="json", include={"format", "cut", "on_error", "step_kms"}),
        "range": [need.low, need.high],
        "largest_step_kms": need.largest_step_kms,
        "files": {
            "count": len(sizes),
            "bytes": sum(sizes.values()),
            "digest": provenance.digest_recipe({"listing": listing}),
        },
    }


def _take_census(
    config: ExperimentConfig, log: StageLog, sources: Sequence[TemplateSource], need: Requirement
) -> list[Entry]:
    """Return an entry for every template, in the order of names.

    Raises:
        StarnetError: with `grid.on_error: raise`, what is wrong with the first bad file.
    """
    skip = config.grid.on_error == "skip"
    blocks = [
        Block(number, tuple(sources[start : start + _CENSUS_BLOCK]))
        for number, start in enumerate(range(0, len(sources), _CENSUS_BLOCK))
    ]
    answers: dict[int, list[Entry]] = {}
    settled = 0
    with log.bar("census", len(sources), "files") as bar:
        for block, entries in _each(config, Census(need), blocks, len(sources)):
            answers[block.number] = entries
            bar.advance(len(entries))
            # Blocks finish in any order; the bad file to name is the first by name, whichever was found first.
            while settled in answers and not skip:
                usable(answers[settled], skip=False)
                settled += 1
    return [entry for number in range(len(blocks)) for entry in answers[number]]


def _select(
    config: ExperimentConfig, log: StageLog, entries: Sequence[Entry]
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the templates to use, and name and reason of those left out for a problem."""
    good, bad = usable(entries, skip=config.grid.on_error == "skip")
    left_out = [(entry.source.name, str(entry.problem)) for entry in bad]
    outside = len(entries) - len(good) - len(bad)
    if outside:
        log.info("%d templates are outside grid.cut", outside)
    for _, reason in left_out[:_MOST_LISTED]:
        log.warning("left out: %s", reason)
    if len(left_out) > _MOST_LISTED:
        log.warning("... and %d more; the store's attribute `left_out` has all", len(left_out) - _MOST_LISTED)
    if not good and bad:
        raise advised(bad[0], f"{config.grid.path}: none of {len(bad)} templates can be used; the first: ")
    if not good:
        raise GridFormatError(f"{config.grid.path}: all {outside} templates lie outside grid.cut; widen it")
    return good, left_out


def _write(
    config: ExperimentConfig,
    log: StageLog,
    recipe: dict[str, Any],
    entries: Sequence[Entry],
    left_out: Sequence[tuple[str, str]],
    need: Requirement,
) -> None:
    """Write the store from the templates that the census found usable."""
    reader = reader_for(config.grid.format)
    native = min(entry.step_kms for entry in entries)
    wavelength = ln_uniform(need.low, need.high, config.grid.step_kms or native)
    ln_step = math.log(wavelength[-1] / wavelength[0]) / (wavelength.size - 1)
    labels = np.array([entry.labels for entry in entries], dtype=np.float64)
    names = [entry.source.name for entry in entries]
    summary = summarise(labels, reader.label_names)
    with building(
        config.store("grid"),
        recipe={**recipe, "templates": provenance.digest_recipe({"names": names, "labels": labels.tolist()})},
        layout=Layout(len(entries), wavelength.size, SHARD_ROWS, "float32", mapped=True),
        wavelength=wavelength,
        columns={"labels": labels, "source": np.array(names, dtype=np.str_)},
        attributes={
            "label_names": list(reader.label_names),
            "format": reader.format,
            "ln_step": ln_step,
            "velocity_step_kms": C_KMS * ln_step,
            "native_step_kms": native,
            "summary": summary,
            "left_out": dict(left_out),
        },
    ) as build:
        writer = ShardWriter(build.path, build.layout, build.recipe_digest, reader.format, wavelength)
        _write_shards(config, log, build, writer, [entry.source for entry in entries])
        build.finalise()
    for line in table(summary):
        log.info("%s", line)
    log.info("finest native step %.3f km/s, step of the store %.3f km/s", native, C_KMS * ln_step)
    log.info("%s: %d x %d samples, %.2f to %.2f A", build.path, len(names), wavelength.size, need.low, need.high)


def _write_shards(
    config: ExperimentConfig, log: StageLog, build: StoreBuild, writer: ShardWriter, sources: Sequence[TemplateSource]
) -> None:
    shards = []
    for number in build.missing():
        rows = build.layout.rows_of(number)
        shards.append(Shard(number, tuple(sources[rows.start : rows.stop])))
    left = sum(len(shard.sources) for shard in shards)
    with log.bar("fluxes", len(sources), "templates", len(sources) - left) as bar:
        for _, count in _each(config, writer, shards, left):
            bar.advance(count)


def _each(
    config: ExperimentConfig, task: Callable[[_Key], _Result], keys: Sequence[_Key], files: int
) -> Iterator[tuple[_Key, _Result]]:
    """Yield `parallel.each` with the workers that the user asked for, else as many as the files keep busy.

    Raises:
        InterruptedRunError: a signal asked to stop before all was done.
    """
    workers = config.augment.workers or min(parallel.available_cores(), max(1, files // _FILES_PER_WORKER))
    done = 0
    with stop_requests() as stop:
        answers = parallel.each(
            task, keys, workers=workers, scheduler=config.augment.scheduler, stop=lambda: bool(stop)
        )
        for answer in answers:
            done += 1
            yield answer
    if done < len(keys):
        name = stop.signal.name if stop.signal else "a signal"
        raise InterruptedRunError(f"{config.store('grid')}: stopped by {name}; run the same command again to go on")


def _say_finished(log: StageLog, path: Path) -> None:
    store = open_store(path, made_by="ingest")
    log.info("%s: complete (%d templates); nothing to do", path, len(store))
    if left_out := store.attributes.get("left_out"):
        log.warning("%d files were left out of it; remove the store to have them tried again", len(left_out))
