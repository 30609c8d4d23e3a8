"""A small grid of closed-form spectra, written straight into a `grid.zarr`, and an experiment on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch.rundir import claim
from starnet_hpc.stores import Layout, building, open_store, write_shard

Form = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Flux [n] of wavelengths [n, angstrom] and labels."""

INSTRUMENT: dict[str, Any] = {
    "name": "small",
    "arms": [{"start": 5150.0, "step": 0.05, "count": 800}],
    "resolution": 20_000,
    "strong_lines": [[5165.0, 5170.0]],
}
TEMPLATES = 24
LABELS = ("teff", "logg", "feh", "afe")
_LINES = np.linspace(5146.0, 5194.0, 60)
"""Centres of Gaussian absorption lines [angstrom]."""


def experiment(run_dir: Path, **sections: Any) -> ExperimentConfig:
    """Return a configuration for the small instrument; `augment` entries are added to small numbers of spectra."""
    small = {"n_train": 96, "n_valid": 24, "n_test": 24, "shard_rows": 16, "workers": 1}
    data = {
        "name": "small",
        "run_dir": str(run_dir),
        "grid": {"format": "intrigoss", "path": str(run_dir)},
        "instrument": INSTRUMENT,
        **sections,
        "augment": {**small, **sections.get("augment", {})},
    }
    return ExperimentConfig.model_validate(data)


def write_grid(
    config: ExperimentConfig,
    *,
    templates: int = TEMPLATES,
    scale: float = 1.0,
    low: float = 5143.0,
    high: float = 5197.0,
    twins: int = 1,
    form: Form | None = None,
    continuum: float = 0.0,
    continuum_unknown: int = 0,
    native: float | None = None,
) -> None:
    """Write the `grid.zarr` of an experiment: lines with depths that depend on the labels, on a sloping continuum.

    `twins` templates each have the same labels, as in a grid with several microturbulences. `form` is another formula.
    The grid knows `continuum` times its true continuum, unless that is 0, but not of the first `continuum_unknown`
    templates. `native` is the resolution (lambda / FWHM) that they have been smoothed to.
    """
    claim(config)
    wavelength = np.exp(np.linspace(np.log(low), np.log(high), 3000))  # steps of 1 km/s
    unit = (np.arange(templates)[:, None] * np.array([0.618, 0.755, 0.57, 0.82]) + 0.5) % 1.0
    labels = np.array([4000.0, 1.0, -2.0, 0.0]) + unit * np.array([3000.0, 4.0, 2.5, 0.4])
    labels = labels[np.arange(templates) // twins]
    columns = {"labels": labels, "source": np.array([f"template{k}" for k in range(templates)])}
    if continuum:
        nodes = np.linspace(low, high, 12)
        known = continuum * scale * (labels[:, :1] / 5777.0) ** 4 * (1.0 + 2e-3 * (nodes - 5170.0))
        known[:continuum_unknown] = np.nan
        columns |= {"continuum": known.astype(np.float32), "continuum_wavelength": nodes}
    layout = Layout(templates, wavelength.size, shard_rows=64, mapped=True)
    with building(
        config.store("grid"),
        recipe={"stage": "ingest", "scale": scale, "templates": templates},
        layout=layout,
        wavelength=wavelength,
        columns=columns,
        attributes={"label_names": list(LABELS), "format": "intrigoss", "native_resolution": native},
    ) as build:
        for shard in build.missing():
            flux = np.stack([scale * (form or closed_form)(wavelength, labels[row]) for row in layout.rows_of(shard)])
            if native is not None:
                steps = 1.0 / native / np.sqrt(8 * np.log(2)) / np.log(wavelength[1] / wavelength[0])
                flux = gaussian_filter1d(flux, steps, mode="nearest", truncate=8.0)
            write_shard(build.path, layout, build.recipe_digest, shard, flux.astype(np.float32), {})
        build.finalise()


def linear_form(wavelength: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a flux [n] that is linear in the labels, and whose mean does not depend on them."""
    turns = 2.0 * np.pi * np.arange(wavelength.size) / wavelength.size
    unit = (labels - [4000.0, 1.0, -2.0, 0.0]) / [3000.0, 4.0, 2.5, 0.4]
    return 1.0 + 0.1 * sum(unit[k] * np.sin((11 + 17 * k) * turns) for k in range(4))


def closed_form(wavelength: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the flux of a template [n] at wavelengths [n, angstrom]."""
    teff, logg, feh, afe = labels
    strength = 10.0 ** (0.3 * feh + 0.2 * afe * np.cos(_LINES)) * (0.3 + 0.2 * np.sin(_LINES * logg))
    width = 0.05 + 0.02 * (teff / 6000.0)  # angstrom
    depth = (strength[:, None] * np.exp(-0.5 * ((wavelength - _LINES[:, None]) / width) ** 2)).sum(axis=0)
    return (teff / 5777.0) ** 4 * (1.0 + 2e-3 * (wavelength - 5170.0)) * np.exp(-depth)


def flux(config: ExperimentConfig, name: str) -> NDArray[np.floating[Any]]:
    """Return all fluxes [rows, pixels] of a finished store."""
    store = open_store(config.store(name), made_by="augment")
    return store.read(0, len(store))


def same_stores(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    """Whether the three stores hold the same bits: fluxes, labels, templates and draws."""
    columns = ("labels", "template", *(f"draws/{name}" for name in ("vsini", "vrad", "epsilon", "noise", "snr")))
    for name in SPLITS:
        a, b = (open_store(config.store(name), made_by="augment") for config in (one, other))
        if flux(one, name).tobytes() != flux(other, name).tobytes():
            return False
        if any(a.column(column).tobytes() != b.column(column).tobytes() for column in columns):
            return False
    return True
