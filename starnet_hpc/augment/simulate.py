"""Simulated observations of templates that were never trained on: what a survey would deliver, truth included."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import draw
from starnet_hpc.augment.splits import row_labels, spectrum_recipe, template_parts, template_weights
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.labels import training_labels
from starnet_hpc.stores import open_store

_RESPONSE_DEPTH, _RESPONSE_PERIOD = 0.25, 1000.0
"""The simulated instrument's response rises and falls by this share over this many angstrom, as a smooth blaze does."""


@dataclass(frozen=True)
class Simulated:
    """One simulated observation."""

    wavelength: NDArray[np.float64]
    """Pixel centres [pixels], angstrom in air."""
    flux: NDArray[np.float32]
    """Counts in arbitrary units [pixels], not normalised."""
    error: NDArray[np.float32]
    """Standard deviation of the noise [pixels]."""
    snr: float
    """Median flux over the noise of a pixel."""
    labels: dict[str, float]
    """The truth."""


def simulate_survey(config: ExperimentConfig, count: int) -> Iterator[Simulated]:
    """Yield simulated observations of the held-out (test) templates, with draws of their own.

    Args:
        config: of an experiment whose `grid.zarr` is there.
        count: how many.
    """
    grid = open_store(config.store("grid"), made_by="ingest")
    instrument = load_instrument(config.instrument)
    templates = template_parts(config, grid)["test"]
    draws = draw(config.seed, "survey", templates, count, config.augment, template_weights(grid)[templates])
    names = training_labels(grid.label_names)
    labels = row_labels(grid, draws, names)
    recipe = spectrum_recipe(config, grid, instrument, "survey")
    rows = grid.mapped_rows()
    # A response that is neither flat nor a straight line, for the continuum to find.
    phase = 2.0 * np.pi * (instrument.wavelength - instrument.wavelength[0]) / _RESPONSE_PERIOD
    response = (1.0 + _RESPONSE_DEPTH * np.sin(phase)).astype(np.float32)
    for row in range(count):
        observed = recipe.observed(rows, draws, row)
        # Per median, so that fluxes of hot and cool stars come out alike, as exposure meters see to it.
        scaled = response * observed / np.median(observed)
        error = (response * draws.noise[row]).astype(np.float32)
        truth = dict(zip(names, labels[row].tolist(), strict=True))
        yield Simulated(instrument.wavelength, scaled, error, float(draws.snr[row]), truth)
