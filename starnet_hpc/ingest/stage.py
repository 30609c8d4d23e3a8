"""Stage `ingest`: read a grid twice (census, then fluxes), write `grid.zarr` once."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel, provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import GridFormatError, InterruptedRunError, MissingInputError
from starnet_hpc.grids import TemplateSource
from starnet_hpc.grids.fitsfile import identity
from starnet_hpc.grids.sampling import spread
from starnet_hpc.ingest.census import Block, Census, Entry, Requirement, advised, native_resolution, usable
from starnet_hpc.ingest.continuum import ACCURACY, continuum_columns, continuum_nodes
from starnet_hpc.ingest.folders import GridFolder, grid_folders, needed_range
from starnet_hpc.ingest.medium import measured_offset, vacuum_warning
from starnet_hpc.ingest.readme import grid_readme
from starnet_hpc.ingest.shards import Shard, ShardWriter
from starnet_hpc.ingest.summary import summarise, table
from starnet_hpc.instruments import C_KMS
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Layout, StoreBuild, building, finished, open_store

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")

SHARD_ROWS = 64
"""Templates in one file of `grid.zarr`: about 8 MB, the unit of work and of resuming."""

_STAGE_FORMAT = 2
"""Raised when the same inputs would give another store."""
_CENSUS_BLOCK = 256
FILES_PER_WORKER = 5_000
"""One process reads this many files before a further worker has even started."""
_MOST_LISTED = 20


def ingest(config: ExperimentConfig, *, sample: int | None = None) -> Path:
    """Make `grid.zarr` from the files of a synthetic grid, and return its path.

    A store that an earlier run made from the same configuration and files is left as it is; one that was interrupted is
    finished; one whose grid is gone (scratch file systems are purged) stays as it is if its settings are these. The
    content does not depend on the number of workers.

    Args:
        config: of the experiment.
        sample: take at most so many templates of each folder, spread over it.

    Raises:
        ConfigError: a cut names a label that the grid does not vary, or an extra folder varies other labels.
        MissingInputError: a folder is not there, or holds no file of the format.
        GridFormatError: a file is not what the format promises (or is left out, see `grid.on_error`).
        CoverageError: a template does not cover the instrument's range plus margin.
        ResolutionError: a template is too coarse for the instrument, or has been smoothed more than it smooths.
        StoreMismatchError: the run directory holds a grid made from something else.
        InterruptedRunError: a signal asked to stop; finished shards are kept.
    """
    path = config.store("grid")
    with stage_log("ingest", config.run_dir) as log:
        folders = grid_folders(config)
        try:
            folders = grid_folders(config)
            sources = [_sampled(folder.sources(), sample) for folder in folders]
        except MissingInputError as gone:
            if not finished(path, _settings(config)):
                raise
            log.warning("%s; %s is complete and was made with these settings: it stays as it is", gone, path)
            return path
        beside = [folder.reader.companions(own) for folder, own in zip(folders, sources, strict=True)]
        recipe = _recipe(config, sources, beside)
        if finished(path, recipe):
            _say_finished(log, path)
            return path
        with _workers(config, sum(map(len, sources))) as each:
            entries = _take_census(config, log, folders, sources, each)
            good, left_out = _select(config, log, folders, entries)
            _write(config, log, recipe, folders, good, left_out, each)
    return path


def listed(config: ExperimentConfig, *, sample: int | None = None) -> int:
    """Return how many templates the grid's files hold, whether or not they can be used.

    Args:
        config: of the experiment.
        sample: count at most so many of each folder, as `ingest` takes them.

    Raises:
        MissingInputError: a folder is not there, or holds no file of the format.
        GridFormatError: it cannot be read.
    """
    return sum(len(_sampled(folder.sources(), sample)) for folder in grid_folders(config))


def ln_uniform(low: float, high: float, largest_step_kms: float) -> NDArray[np.float64]:
    """Return wavelengths [n] from `low` to `high` [angstrom], equal steps of ln(wavelength) of at most so many km/s."""
    span = math.log(high / low)
    count = math.ceil(span * C_KMS / largest_step_kms) + 1
    return np.asarray(low * np.exp(np.arange(count) * (span / (count - 1))), dtype=np.float64)


def _recipe(
    config: ExperimentConfig, sources: Sequence[Sequence[TemplateSource]], beside: Sequence[Sequence[Path]]
) -> dict[str, Any]:
    """Return what the content is a function of: folders may move, their files' names and content may not change."""
    own, *extra = (_listing(files, also) for files, also in zip(sources, beside, strict=True))
    return {**_settings(config), "files": own, **({"extra_files": extra} if extra else {})}


def _settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return the part of the recipe that is known without the files."""
    low, high, largest_step = needed_range(config)
    grid = config.grid.model_dump(mode="json", include={"format", "cut", "on_error", "step_kms", "resolution"})
    extra = [folder.model_dump(mode="json", include={"format", "weight", "cut"}) for folder in config.grid.extra]
    return {
        "stage": f"ingest {_STAGE_FORMAT}",
        "grid": {**grid, **({"extra": extra} if extra else {})},
        "range": [low, high],
        "largest_step_kms": largest_step,
    }


def _sampled(sources: Sequence[TemplateSource], most: int | None) -> Sequence[TemplateSource]:
    """Return at most so many of the templates of a folder, evenly spread; None: all of them."""
    return [sources[place] for place in spread(len(sources), most)]


def _listing(sources: Sequence[TemplateSource], beside: Sequence[Path]) -> dict[str, Any]:
    """Return what identifies the files of one folder."""
    files = {path: identity(path) for path in dict.fromkeys(source.path for source in sources)}
    listing = [[source.name, *files[source.path]] for source in sources]
    listing += [[path.name, *identity(path)] for path in beside]
    return {
        "count": len(files),
        "bytes": sum(size for size, _ in files.values()),
        "digest": provenance.digest_recipe({"listing": listing}),
    }


def _take_census(
    config: ExperimentConfig,
    log: StageLog,
    folders: Sequence[GridFolder],
    sources: Sequence[Sequence[TemplateSource]],
    each: "_Each",
) -> list[Entry]:
    """Return an entry for every template, in the order of folders and names.

    Raises:
        StarnetError: with `grid.on_error: raise`, what is wrong with the first bad file.
    """
    entries: list[Entry] = []
    for k, (folder, own) in enumerate(zip(folders, sources, strict=True)):
        log.info("%s: %d templates in %s", folder.need.grid_format, len(own), folder.path)
        entries += [replace(entry, folder=k) for entry in _examine(config, log, own, folder.need, each)]
    return entries


def _examine(
    config: ExperimentConfig, log: StageLog, sources: Sequence[TemplateSource], need: Requirement, each: "_Each"
) -> list[Entry]:
    """Return an entry for every template of one folder, in the order of names."""
    skip = config.grid.on_error == "skip"
    blocks = [
        Block(number, tuple(sources[start : start + _CENSUS_BLOCK]))
        for number, start in enumerate(range(0, len(sources), _CENSUS_BLOCK))
    ]
    answers: dict[int, list[Entry]] = {}
    settled = 0
    with log.bar("census", len(sources), "files") as bar:
        for block, entries in each(Census(need), blocks):
            answers[block.number] = entries
            bar.advance(len(entries))
            # Blocks finish in any order; the bad file to name is the first by name, whichever was found first.
            while settled in answers and not skip:
                usable(answers[settled], skip=False)
                settled += 1
    return [entry for number in range(len(blocks)) for entry in answers[number]]


def _select(
    config: ExperimentConfig, log: StageLog, folders: Sequence[GridFolder], entries: Sequence[Entry]
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the templates to use, and name and reason of those left out for a problem."""
    good, bad = usable(entries, skip=config.grid.on_error == "skip")
    left_out = [(folders[entry.folder].name(entry.source), str(entry.problem)) for entry in bad]
    for _, reason in left_out[:_MOST_LISTED]:
        log.warning("left out: %s", reason)
    if len(left_out) > _MOST_LISTED:
        log.warning("... and %d more; the store's attribute `left_out` has all", len(left_out) - _MOST_LISTED)
    if twins := sum(entry.twin for entry in bad):
        log.warning("%d of them have the same labels as another template", twins)
    for k, folder in enumerate(folders):
        total, fit, unfit, empty = (
            sum(entry.folder == k for entry in some)
            for some in (entries, good, bad, [entry for entry in entries if entry.empty])
        )
        outside = total - fit - unfit - empty
        if empty:
            log.info("%d nodes of the grid in %s are empty: nobody computed their spectra", empty, folder.path)
        if outside:
            log.info("%d templates are outside %s.cut", outside, folder.key)
        if not fit and unfit:
            first = next(entry for entry in bad if entry.folder == k)
            raise advised(first, f"{folder.path}: none of {unfit} templates can be used; the first: ")
        if not fit:
            or_empty = " or are empty" if empty else ""
            raise GridFormatError(
                f"{folder.path}: all {total} templates lie outside {folder.key}.cut{or_empty}; widen it"
            )
    return good, left_out


def _write(
    config: ExperimentConfig,
    log: StageLog,
    recipe: dict[str, Any],
    folders: Sequence[GridFolder],
    entries: Sequence[Entry],
    left_out: Sequence[tuple[str, str]],
    each: "_Each",
) -> None:
    """Write the store from the templates that the census found usable."""
    need = folders[0].need
    native, resolution = min(entry.step_kms for entry in entries), native_resolution(entries)
    wavelength = ln_uniform(need.low, need.high, config.grid.step_kms or native)
    ln_step = math.log(wavelength[-1] / wavelength[0]) / (wavelength.size - 1)
    labels = np.array([entry.labels for entry in entries], dtype=np.float64)
    names = [folders[entry.folder].name(entry.source) for entry in entries]
    columns: dict[str, NDArray[Any]] = {"labels": labels, "source": np.array(names, dtype=np.str_)}
    if len(folders) > 1:
        columns["weight"] = np.array([folders[entry.folder].weight for entry in entries], dtype=np.float64)
    summary = summarise(labels, need.labels)
    continua = [entry.continuum for entry in entries]
    columns |= continuum_columns(continua, continuum_nodes(need.low, need.high))
    _say_continua(log, continua)
    offsets = [
        measured_offset(
            folder.need.grid_format,
            [entry.source for entry in entries if entry.folder == k],
            (need.low, need.high),
        )
        for k, folder in enumerate(folders)
    ]
    with building(
        config.store("grid"),
        recipe={**recipe, "templates": provenance.digest_recipe({"names": names, "labels": labels.tolist()})},
        layout=Layout(len(entries), wavelength.size, SHARD_ROWS, "float32", mapped=True),
        wavelength=wavelength,
        columns=columns,
        attributes={
            "readme": grid_readme(Layout(len(entries), wavelength.size, SHARD_ROWS, mapped=True), columns),
            "label_names": list(need.labels),
            "format": need.grid_format,
            "ln_step": ln_step,
            "velocity_step_kms": C_KMS * ln_step,
            "native_step_kms": native,
            "native_resolution": resolution,
            "line_offset_kms": offsets[0],
            **({"extra_line_offsets_kms": offsets[1:]} if len(offsets) > 1 else {}),
            "summary": summary,
            "left_out": dict(left_out),
        },
    ) as build:
        writer = ShardWriter(build.path, build.layout, build.recipe_digest, wavelength)
        formats = [folders[entry.folder].need.grid_format for entry in entries]
        _write_shards(log, build, writer, [entry.source for entry in entries], formats, each)
        build.finalise()
    _say_where_lines_are(log, offsets)
    for line in table(summary):
        log.info("%s", line)
    for k, folder in enumerate(folders[1:], start=1):
        count = sum(entry.folder == k for entry in entries)
        log.info("%d of them from %s, each used %g times as often as the others", count, folder.path, folder.weight)
    if resolution is None:
        log.info("templates count as sharp as can be: nothing says that they have been smoothed")
    else:
        log.info("templates have been smoothed to lambda / FWHM = %g already", resolution)
    log.info("finest native step %.3f km/s, step of the store %.3f km/s", native, C_KMS * ln_step)
    log.info("%s: %d x %d samples, %.2f to %.2f A", build.path, len(names), wavelength.size, need.low, need.high)


def _say_continua(log: StageLog, continua: Sequence[tuple[NDArray[np.float32], float] | None]) -> None:
    errors = [known[1] for known in continua if known]
    if not errors:
        return
    log.info("true continua of %d of %d templates are known", len(errors), len(continua))
    if max(errors) > ACCURACY:
        log.warning(
            "true continua are kept every 5 A: in between they are off by up to %.2g (more than %g in %d templates)",
            max(errors),
            ACCURACY,
            sum(error > ACCURACY for error in errors),
        )


def _write_shards(
    log: StageLog,
    build: StoreBuild,
    writer: ShardWriter,
    sources: Sequence[TemplateSource],
    formats: Sequence[str],
    each: "_Each",
) -> None:
    shards = []
    for number in build.missing():
        rows = build.layout.rows_of(number)
        part = slice(rows.start, rows.stop)
        shards.append(Shard(number, tuple(sources[part]), tuple(formats[part])))
    left = sum(len(shard.sources) for shard in shards)
    with log.bar("fluxes", len(sources), "templates", len(sources) - left) as bar:
        for _, count in each(writer, shards):
            bar.advance(count)


class _Each(Protocol):
    """Yields `(key, task(key))` for each key."""

    def __call__(self, task: Callable[[_Key], _Result], keys: Sequence[_Key], /) -> Iterator[tuple[_Key, _Result]]: ...


@contextmanager
def _workers(config: ExperimentConfig, files: int) -> Iterator[_Each]:
    """Give workers that read so many files, in both passes.

    Raises:
        InterruptedRunError: a signal asked to stop before all was done.
    """
    worth = max(1, files // FILES_PER_WORKER)
    tasks = math.ceil(files / min(SHARD_ROWS, _CENSUS_BLOCK))
    with (
        stop_requests() as stop,
        parallel.workers(config, tasks=tasks, worth=worth, stop=lambda: bool(stop)) as pool,
    ):

        def each(task: Callable[[_Key], _Result], keys: Sequence[_Key]) -> Iterator[tuple[_Key, _Result]]:
            done = 0
            for answer in pool.each(task, keys):
                done += 1
                yield answer
            if done < len(keys):
                name = stop.signal.name if stop.signal else "a signal"
                raise InterruptedRunError(
                    f"{config.store('grid')}: stopped by {name}; run the same command again to go on"
                )

        yield each


def _say_where_lines_are(log: StageLog, offsets: Sequence[float | None]) -> None:
    """Say how far known lines are off in each folder [km/s]: the grid's own, then the extra ones."""
    for k, offset in enumerate(offsets):
        key = f"grid.extra[{k - 1}]" if k else "grid"
        if (words := vacuum_warning(offset)) is not None:
            log.warning("%s.path: %s", key, words)
        elif offset is None:
            log.info("%s.path: no known lines stand out, which would tell whether wavelengths are in air", key)
        else:
            log.info("%s.path: known lines are %+.0f km/s from their wavelengths in air", key, offset)


def _say_finished(log: StageLog, path: Path) -> None:
    store = open_store(path, made_by="ingest")
    log.info("%s: complete (%d templates); nothing to do", path, len(store))
    if left_out := store.attributes.get("left_out"):
        log.warning("%d files were left out of it; remove the store to have them tried again", len(left_out))
    known = store.attributes
    _say_where_lines_are(log, [known.get("line_offset_kms"), *known.get("extra_line_offsets_kms", [])])
