"""The unit of work of the augment stage: one whole shard."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.errors import StarnetError, StoreMismatchError
from starnet_hpc.kernels.half import to_half
from starnet_hpc.stores import Layout, MappedRows, open_store, write_shard


@dataclass(frozen=True)
class ShardTask:
    """What the shards of one store have in common."""

    store: Path
    layout: Layout
    recipe_digest: str
    grid: Path
    grid_digest: str
    recipe: SpectrumRecipe


@dataclass(frozen=True)
class ShardWork:
    """A shard and what was drawn for its rows."""

    task: ShardTask
    shard: int
    draws: Draws


def make_shard(work: ShardWork) -> int:
    """Compute and write one shard, on whichever worker; return the number of its rows."""
    task = work.task
    rows = task.layout.rows_of(work.shard)
    # One model a worker process, not one a task: its tables cost more than many spectra.
    recipe = _shared(task.recipe)
    flux = normalised_rows(recipe, _templates(task.grid, task.grid_digest), work.draws)
    kept = stored(flux, task.layout.dtype, rows.start)
    facts = {"flux_min": float(flux.min()), "flux_max": float(flux.max())}
    write_shard(task.store, task.layout, task.recipe_digest, work.shard, kept, facts)
    return len(rows)


def normalised_rows(recipe: SpectrumRecipe, templates: MappedRows, draws: Draws) -> NDArray[np.float32]:
    """Return continuum-normalised spectra [rows, pixels] for the rows of a store that were drawn.

    Raises:
        StarnetError: a spectrum has no continuum to divide by.
    """
    out: NDArray[np.float32] | None = None
    for k in range(draws.template.size):
        row = draws.start + k
        observed = recipe.observed(templates, draws, row)
        continuum = recipe.continuum(observed)
        if not continuum.min() > 0:  # also true for NaN
            raise StarnetError(
                f"row {row} (template {draws.template[k]} of grid.zarr): the continuum is not positive everywhere; "
                f"check augment.continuum_segment, the instrument's strong_lines and the template's flux"
            )
        if out is None:
            out = np.empty((draws.template.size, observed.size), dtype=np.float32)
        np.divide(observed, continuum, out=out[k])
    if out is None:
        raise ValueError("a shard without rows")
    return out


def stored(flux: NDArray[np.float32], dtype: str, first_row: int) -> NDArray[np.floating[Any]]:
    """Return fluxes [rows, pixels] as a store keeps them.

    Raises:
        StarnetError: the brightest pixel of a row is beyond what the type can hold, or nearly nothing in it.
    """
    brightest = np.maximum(flux.max(axis=1), -flux.min(axis=1))
    limits = np.finfo(dtype)
    # A relative step of 2^-11 needs normal numbers: the faintest pixels of interest are a hundredth of the brightest.
    lost = ~((brightest <= limits.max) & (brightest >= 100 * limits.smallest_normal))
    if lost.any():
        k = int(np.argmax(lost))
        raise StarnetError(
            f"row {first_row + k}: fluxes up to {brightest[k]:.3g} do not fit into {dtype}; "
            f"set augment.dtype: float32, or have the continuum removed (augment.continuum: clip)"
        )
    return to_half(flux) if dtype == "float16" else flux


@lru_cache(maxsize=4)
def _templates(grid: Path, digest: str) -> MappedRows:
    """Return a grid's templates; by its digest, too, since workers of a running scheduler outlive experiments."""
    store = open_store(grid, made_by="ingest")
    if store.content_digest != digest:
        raise StoreMismatchError(f"{grid}: has changed since this run began; run the same command again")
    return store.mapped_rows()


@lru_cache(maxsize=4)
def _shared(recipe: SpectrumRecipe) -> SpectrumRecipe:
    """Return the first recipe like this one that this process has seen, with the tables that it has built so far."""
    return recipe
