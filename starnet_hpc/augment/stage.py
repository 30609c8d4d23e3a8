"""Augment: `grid.zarr` in; `train.zarr`, `valid.zarr` and `test.zarr` out."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel
from starnet_hpc.augment.draws import SPLITS, Draws, draw, split_templates
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.augment.shards import ShardTask, ShardWork, normalised_rows
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import CoverageError, InterruptedRunError
from starnet_hpc.instruments import Instrument, load_instrument
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.labels import training_labels
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Layout, Store, StoreBuild, building, open_store, write_atomically

_EXAMPLES = 8
"""Test spectra kept before normalisation, for the report's figure of continua."""


def augment(config: ExperimentConfig) -> None:
    """Build the three stores of an experiment, or finish what an earlier run left.

    Raises:
        MissingInputError: there is no `grid.zarr`.
        CoverageError: the templates are too short for the instrument and the largest velocities.
        StoreMismatchError: a store of another configuration lies in the run directory.
        InterruptedRunError: a signal asked to stop; finished shards are kept.
    """
    with stage_log("augment", config.run_dir) as log:
        grid = open_store(config.store("grid"), made_by="ingest")
        instrument = load_instrument(config.instrument)
        _check_coverage(grid, instrument, config)
        templates = split_templates(config.seed, len(grid), config.augment)
        if not instrument.tellurics().any():
            log.info("instrument %s has no telluric windows in its range: step viii masks nothing", instrument.name)
        _compile_kernels(config, grid, instrument)
        for split in SPLITS:
            _build(config, grid, instrument, split, templates[split], log)


def spectrum_recipe(config: ExperimentConfig, grid: Store, instrument: Instrument, split: str) -> SpectrumRecipe:
    """Return the function from templates to spectra for one split (any name: it keys the random numbers)."""
    wavelength = grid.wavelength
    limits = (float(wavelength[0]), float(wavelength[-1]), wavelength.size)
    return SpectrumRecipe(config.seed, split, instrument.config, config.augment, limits)


def store_recipe(config: ExperimentConfig, grid: Store, instrument: Instrument, split: str) -> dict[str, Any]:
    """Return everything that the content of one store is a function of, as plain values."""
    ours = config.augment.model_dump(mode="json", exclude={"workers", "scheduler", "zero_fraction_max"})
    rows = {name: ours.pop(f"n_{name}") for name in SPLITS}[split]
    return {
        "stage": "augment",
        "split": split,
        "rows": rows,
        "seed": config.seed,
        "grid": grid.content_digest,
        "instrument": instrument.config.model_dump(mode="json", exclude={"description", "tellurics"}),
        "augment": ours,
    }


def _build(
    config: ExperimentConfig,
    grid: Store,
    instrument: Instrument,
    split: str,
    templates: NDArray[np.int64],
    log: StageLog,
) -> None:
    path = config.store(split)
    rows = int(getattr(config.augment, f"n_{split}"))
    layout = Layout(rows, instrument.wavelength.size, min(config.augment.shard_rows, rows), config.augment.dtype)
    draws = draw(config.seed, split, templates, rows, config.augment)
    names = training_labels(grid.label_names)
    labels = row_labels(grid, draws, names)
    attributes = {"label_names": list(names), "instrument": instrument.name, "templates": int(templates.size)}
    attributes |= _label_statistics(labels)
    with building(
        path,
        recipe=store_recipe(config, grid, instrument, split),
        layout=layout,
        wavelength=instrument.wavelength,
        columns={"labels": labels.astype(np.float32), **_columns(draws)},
        attributes=attributes,
    ) as build:
        if build.complete:
            log.info("%s: complete already, %d spectra", path, rows)
            return
        recipe = spectrum_recipe(config, grid, instrument, split)
        task = ShardTask(path, layout, build.recipe_digest, grid.path, recipe)
        _run(build, task, draws, config, log)
        if split == "test":
            _keep_examples(config.run_dir / "examples.npz", recipe, grid, draws, labels, instrument.wavelength)
        build.finalise()
    log.info("%s: %d spectra of %d templates, %d pixels", path, rows, templates.size, layout.pixels)


def _run(build: StoreBuild, task: ShardTask, draws: Draws, config: ExperimentConfig, log: StageLog) -> None:
    missing = build.missing()
    work = [ShardWork(shard, draws.rows(build.layout.rows_of(shard))) for shard in missing]
    todo = sum(len(build.layout.rows_of(shard)) for shard in missing)
    with (
        stop_requests() as stop,
        log.bar(build.path.name, build.layout.rows, "spectra", done=build.layout.rows - todo) as bar,
    ):
        done = parallel.each(
            task, work, workers=config.augment.workers, scheduler=config.augment.scheduler, stop=lambda: bool(stop)
        )
        for _, rows in done:
            bar.advance(rows)
    if stop and build.missing():
        raise InterruptedRunError(
            f"{build.path}: stopped by {stop.signal.name if stop.signal else 'a signal'} with "
            f"{len(build.missing())} of {build.layout.shards} shards to do; run the same command again to go on"
        )


def _compile_kernels(config: ExperimentConfig, grid: Store, instrument: Instrument) -> None:
    """Compile (or load from Numba's cache) in this process, so that workers find compiled kernels."""
    draws = Draws(*(np.zeros(1, dtype=kind) for kind in (np.int32, *[np.float32] * 4)))
    normalised_rows(spectrum_recipe(config, grid, instrument, "warm-up"), grid.mapped_rows(), draws, 0)


def _check_coverage(grid: Store, instrument: Instrument, config: ExperimentConfig) -> None:
    low, high = instrument.template_range(vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max)
    first, last = float(grid.wavelength[0]), float(grid.wavelength[-1])
    step = grid.wavelength[1] - grid.wavelength[0]
    if first > low + step or last < high - step:
        raise CoverageError(
            f"{grid.path}: templates cover {first:.2f}-{last:.2f} A, but {instrument.name} with vrad_max "
            f"{config.augment.vrad_max:g} and vsini_max {config.augment.vsini_max:g} km/s needs {low:.2f}-{high:.2f} A; "
            f"ingest the grid again with this configuration, or lower the velocities"
        )


def row_labels(grid: Store, draws: Draws, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the labels [n, L]: those of each row's template, and the velocities that were drawn."""
    of_grid = grid.column("labels")[draws.template]
    columns = {name: of_grid[:, k] for k, name in enumerate(grid.label_names)}
    columns |= {"vsini": draws.vsini, "vrad": draws.vrad}
    return np.stack([columns[name] for name in names], axis=1).astype(np.float64)


def _columns(draws: Draws) -> dict[str, NDArray[Any]]:
    return {
        "template": draws.template,
        "draws/vsini": draws.vsini,
        "draws/vrad": draws.vrad,
        "draws/epsilon": draws.epsilon,
        "draws/noise": draws.noise,
        "draws/snr": draws.snr,
    }


def _label_statistics(labels: NDArray[np.float64]) -> dict[str, list[float]]:
    return {
        "label_mean": labels.mean(axis=0).tolist(),
        "label_std": labels.std(axis=0).tolist(),
        "label_min": labels.min(axis=0).tolist(),
        "label_max": labels.max(axis=0).tolist(),
    }


def _keep_examples(
    path: Path,
    recipe: SpectrumRecipe,
    grid: Store,
    draws: Draws,
    labels: NDArray[np.float64],
    wavelength: NDArray[np.float64],
) -> None:
    """Keep a few test spectra before normalisation, with the continuum that was found."""
    rows = np.unique(np.linspace(0, labels.shape[0] - 1, _EXAMPLES).astype(int))
    templates = grid.mapped_rows()
    flux = np.stack(
        [
            recipe.observed(
                templates[int(draws.template[row])],
                int(row),
                vsini=float(draws.vsini[row]),
                epsilon=float(draws.epsilon[row]),
                vrad=float(draws.vrad[row]),
                noise=float(draws.noise[row]),
            )
            for row in rows
        ]
    )
    continuum = np.stack([recipe.continuum(spectrum) for spectrum in flux])
    buffer = io.BytesIO()
    np.savez(
        buffer, wavelength=wavelength, flux=flux, continuum=continuum, labels=labels[rows], snr=draws.snr[rows], row=rows
    )
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
