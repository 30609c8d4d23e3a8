"""What each of the three stores holds, known before any spectrum is computed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.between import SPLIT, NodeCells, node_cells
from starnet_hpc.augment.draws import SNR_DEFINITION, SPLITS, Draws, draw, split_templates
from starnet_hpc.augment.readme import augmented_readme
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import Instrument
from starnet_hpc.labels import training_labels
from starnet_hpc.stores import Layout, Store, StorePlan

_STAGE_FORMAT = 3
"""Raised when the same inputs would give another store."""


@dataclass(frozen=True)
class Split:
    """One store, planned."""

    name: str
    """`train`, `valid` or `test`."""
    path: Path
    layout: Layout
    wavelength: NDArray[np.float64]
    """Pixel centres [pixels], angstrom in air."""
    templates: int
    """How many templates it has to itself."""
    draws: Draws
    label_names: tuple[str, ...]
    labels: NDArray[np.float64]
    """[rows, labels]."""
    spectra: SpectrumRecipe
    recipe: dict[str, Any]
    """Everything that the content is a function of, as plain values."""
    between: NodeCells | None = None
    """The cells that its spectra lie in; None: they are at nodes."""

    def plan(self) -> StorePlan:
        """Return what the store is begun with."""
        return StorePlan(self.path, self.recipe, self.layout, self.wavelength, self.columns(), self.attributes())

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the store's columns [rows, ...]."""
        columns: dict[str, NDArray[Any]] = {
            "labels": self.labels.astype(np.float32),
            "template": self.draws.template,
            "draws/vsini": self.draws.vsini,
            "draws/vrad": self.draws.vrad,
            "draws/epsilon": self.draws.epsilon,
            "draws/noise": self.draws.noise,
            "draws/snr": self.draws.snr,
        }
        if self.draws.nodes is not None and self.draws.weights is not None:
            columns["draws/nodes"], columns["draws/weights"] = self.draws.nodes, self.draws.weights
        return columns

    def attributes(self) -> dict[str, Any]:
        """Return what readers need besides: names and statistics of the labels, and where they come from."""
        attributes = {
            "label_names": list(self.label_names),
            "readme": augmented_readme(self.name, self.layout, self.columns()),
            "instrument": self.spectra.instrument.name,
            "templates": self.templates,
            "label_mean": self.labels.mean(axis=0).tolist(),
            "label_std": self.labels.std(axis=0).tolist(),
            "label_min": self.labels.min(axis=0).tolist(),
            "label_max": self.labels.max(axis=0).tolist(),
            "snr_definition": SNR_DEFINITION,
            "snr_quantiles": self.draws.snr_quantiles(),
        }
        if self.between is not None:
            attributes["between_nodes"] = self.between.facts
        return attributes


def plan_splits(config: ExperimentConfig, grid: Store, instrument: Instrument) -> list[Split]:
    """Return the three stores of an experiment."""
    parts = template_parts(config, grid)
    return [_plan(config, grid, instrument, name, parts[name]) for name in SPLITS]


def template_parts(config: ExperimentConfig, grid: Store) -> dict[str, NDArray[np.int64]]:
    """Return the templates of each split; those with the same labels (but other microturbulence, say) stay together."""
    _, node = np.unique(np.round(grid.column("labels"), 6), axis=0, return_inverse=True)
    parts = split_templates(config.seed, int(node.max()) + 1, config.augment)
    return {name: np.flatnonzero(np.isin(node.ravel(), nodes)) for name, nodes in parts.items()}


def template_weights(grid: Store) -> NDArray[np.float64]:
    """Return how often each template is used relative to the others [templates]; only extra ones have weights."""
    return grid.column("weight") if grid.has("weight") else np.ones(len(grid))


def spectrum_recipe(config: ExperimentConfig, grid: Store, instrument: Instrument, split: str) -> SpectrumRecipe:
    """Return the function from templates to spectra for one split (any name: it keys the random numbers)."""
    wavelength = grid.wavelength
    limits = (float(wavelength[0]), float(wavelength[-1]), wavelength.size)
    native = grid.attributes.get("native_resolution")
    return SpectrumRecipe(config.seed, split, instrument.config, config.augment, limits, native)


def row_labels(grid: Store, draws: Draws, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the labels [n, L]: those of each row's template or templates, and the velocities that were drawn."""
    of_grid = draws.average(grid.column("labels"))
    columns: dict[str, NDArray[Any]] = {name: of_grid[:, k] for k, name in enumerate(grid.label_names)}
    columns |= {"vsini": draws.vsini, "vrad": draws.vrad}
    return np.stack([columns[name] for name in names], axis=1).astype(np.float64)


def _plan(
    config: ExperimentConfig, grid: Store, instrument: Instrument, name: str, templates: NDArray[np.int64]
) -> Split:
    rows = int(getattr(config.augment, f"n_{name}"))
    draws = draw(config.seed, name, templates, rows, config.augment, template_weights(grid)[templates])
    between = None
    if name == SPLIT and config.augment.between_nodes == "linear":
        between = node_cells(config.seed, templates, grid.column("labels")[templates], grid.label_names, config.augment)
        draws = between.spread(config.seed, draws)
    label_names = training_labels(grid.label_names)
    return Split(
        name=name,
        path=config.store(name),
        layout=Layout(rows, instrument.wavelength.size, min(config.augment.shard_rows, rows), config.augment.dtype),
        wavelength=instrument.wavelength,
        templates=int(templates.size),
        draws=draws,
        label_names=label_names,
        labels=row_labels(grid, draws, label_names),
        spectra=spectrum_recipe(config, grid, instrument, name),
        recipe=_recipe(config, grid, instrument, name, rows),
        between=between,
    )


def _recipe(config: ExperimentConfig, grid: Store, instrument: Instrument, name: str, rows: int) -> dict[str, Any]:
    elsewhere = {"workers", "scheduler", "zero_fraction_max", "noise_max_train", *(f"n_{split}" for split in SPLITS)}
    if name != SPLIT or config.augment.between_nodes == "none":
        elsewhere |= {"between_nodes", "between_nodes_reach"}
    native = grid.attributes.get("native_resolution")
    return {
        "stage": f"augment {_STAGE_FORMAT}",
        **({} if native is None else {"native_resolution": native}),  # stores of sharp templates stay what they are
        "split": name,
        "rows": rows,
        "seed": config.seed,
        "grid": grid.content_digest,
        "instrument": instrument.recipe(without={"tellurics"}),
        "augment": {
            **config.augment.model_dump(mode="json", exclude=elsewhere),
            "noise_max": config.augment.noise_of(name),
        },
    }
