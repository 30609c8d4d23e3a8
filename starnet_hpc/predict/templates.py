"""The few templates that velocities are measured against, chosen once from `grid.zarr` and kept beside the predictions.

With the file, predicting needs no grid any more; and all ranks, now and in a rerun, correlate with the same spectra.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.predict.places import predictions_dir
from starnet_hpc.stores import Store, open_store, read_arrays, write_arrays

TEMPLATES = 24
"""With 12 of the reference grid's 2,048 velocities err by a tenth more, in two thirds of the time; with 40 by a tenth
less, in one and a half times as much (docs/velocities.md)."""
_FORMAT = 1
"""Raised when the same grid would give another file."""
_ROUNDS = 25
"""After so many, groups hardly change."""


@dataclass(frozen=True)
class Templates:
    """A few spectra of a grid, as sharp as it has them."""

    flux: NDArray[np.float32]
    """Point samples [templates, n], in the grid's unit."""
    wavelength: NDArray[np.float64]
    """[n], angstrom in air, uniform in the logarithm."""
    native_resolution: float | None
    """lambda / FWHM that they have been smoothed to; None: as sharp as can be."""
    digest: str
    """Of all that."""


def templates_file(config: ExperimentConfig) -> Path:
    """Return where an experiment's templates are kept."""
    return predictions_dir(config) / "velocity_templates.npz"


def keep_templates(config: ExperimentConfig) -> None:
    """Choose templates spread over the grid's labels and write them, unless they are there.

    Where `grid.zarr` is gone since, those that are there stay.

    Raises:
        MissingInputError: there is neither the file nor a grid.
    """
    path = templates_file(config)
    if path.exists() and not (config.store("grid") / "zarr.json").exists():
        return
    grid = open_store(config.store("grid"), made_by="ingest")
    recipe = provenance.digest_recipe({"format": _FORMAT, "grid": grid.content_digest, "templates": TEMPLATES})
    found = read_arrays(path)
    if found is not None and str(found.get("recipe")) == recipe:
        return
    flux, wavelength, native = _chosen(grid)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, flux=flux, wavelength=wavelength, native_resolution=np.array(native), recipe=np.array(recipe))


def read_templates(config: ExperimentConfig) -> Templates:
    """Return the templates that `keep_templates` wrote.

    Raises:
        StoreDamagedError: the file is not whole.
    """
    found = read_arrays(path := templates_file(config))
    if found is None or not {"flux", "wavelength", "native_resolution"} <= set(found):
        raise StoreDamagedError(f"{path}: is not whole; remove it, and templates are chosen from grid.zarr again")
    return _templates(found["flux"], found["wavelength"], float(found["native_resolution"]))


def chosen_templates(grid: Store) -> Templates:
    """Return the templates of a grid that would be kept."""
    return _templates(*_chosen(grid))


def _chosen(grid: Store) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    rows = grid.mapped_rows()
    flux = np.stack([rows[row] for row in representatives(grid.labels(), TEMPLATES).tolist()])
    return flux, grid.wavelength, float(grid.attributes.get("native_resolution") or np.nan)


def _templates(flux: NDArray[np.float32], wavelength: NDArray[np.float64], native: float) -> Templates:
    digests = [provenance.digest_array(values) for values in (flux, wavelength)]
    digest = provenance.digest_recipe({"arrays": digests, "native_resolution": str(native)})
    return Templates(flux, wavelength, native if np.isfinite(native) else None, digest)


def representatives(labels: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return rows [count or fewer], increasing, that stand for all: those nearest to the centres of as many groups.

    Groups are found by Lloyd's (1982) iteration, beginning with rows far from one another; labels count by their range.

    Args:
        labels: [n, labels].
        count: how many are wanted.
    """
    reach = np.ptp(labels, axis=0)
    places = (labels - labels.min(axis=0)) / np.where(reach > 0.0, reach, 1.0)
    centres = places.mean(axis=0)[None]
    first = int(np.argmin(_distances(places, centres)))
    chosen = [first]
    while len(chosen) < min(count, len(places)):
        chosen.append(int(np.argmax(_distances(places, places[chosen]).min(axis=1))))
    centres = places[chosen]
    for _ in range(_ROUNDS):
        owner = np.argmin(_distances(places, centres), axis=1)
        groups = [places[owner == k] for k in range(len(centres))]
        centres = np.stack([group.mean(axis=0) if len(group) else centres[k] for k, group in enumerate(groups)])
    return np.unique(np.argmin(_distances(places, centres), axis=0))


def _distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each point from each centre [points, centres]."""
    return np.stack([np.square(points - centre).sum(axis=1) for centre in centres], axis=1)
