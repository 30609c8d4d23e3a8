"""The unit of work of the augment stage: one whole shard."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel
from starnet_hpc.augment.draws import Draws
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.errors import StarnetError, StoreMismatchError
from starnet_hpc.kernels.half import to_half
from starnet_hpc.stores import Layout, MappedRows, checked, open_store, page_aligned, write_shard


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
    flux = _room(task.layout)[: len(rows)]
    checksums = []
    low, high = np.inf, -np.inf
    with parallel.computing():
        # One model a worker process, not one a task: its tables cost more than many spectra.
        recipe = _shared(task.recipe)
        templates = _templates(task.grid, task.grid_digest)
        for k, spectrum in enumerate(normalised(recipe, templates, work.draws)):
            least, most = store_into(flux[k], spectrum, rows[k])
            low, high = min(low, least), max(high, most)
            checksums.append(checked(task.store, rows[k], flux[k]))
    facts = {"flux_min": low, "flux_max": high}
    write_shard(task.store, task.layout, task.recipe_digest, work.shard, flux, facts, checksums)
    return len(rows)


def normalised(recipe: SpectrumRecipe, templates: MappedRows, draws: Draws) -> Iterator[NDArray[np.float32]]:
    """Yield the continuum-normalised spectrum [pixels] of each row that was drawn.

    Raises:
        StarnetError: a spectrum has no continuum to divide by.
    """
    for row in range(draws.start, draws.start + draws.template.size):
        observed = recipe.observed(templates, draws, row)
        continuum = recipe.continuum(observed)
        if not continuum.min() > 0:  # also true for NaN
            template = draws.template[row - draws.start]
            raise StarnetError(
                f"row {row} (template {template} of grid.zarr): the continuum is not positive everywhere; check "
                f"augment.continuum and its settings, the instrument's strong_lines and the template's flux"
            )
        yield observed / continuum


def store_into(out: NDArray[np.floating[Any]], flux: NDArray[np.float32], row: int) -> tuple[float, float]:
    """Round the fluxes [pixels] of a row into `out` [pixels]; return their least and most before they are rounded.

    Raises:
        StarnetError: the brightest pixel is beyond what the type can hold, or nearly nothing in it.
    """
    least, most = float(flux.min()), float(flux.max())
    brightest = max(most, -least)
    limits = np.finfo(out.dtype)
    # A relative step of 2^-11 needs normal numbers: the faintest pixels of interest are a hundredth of the brightest.
    if not 100 * float(limits.smallest_normal) <= brightest <= float(limits.max):
        raise StarnetError(
            f"row {row}: fluxes up to {brightest:.3g} do not fit into {out.dtype}; set augment.dtype: float32"
        )
    if out.dtype == np.float16:
        to_half(flux, out)
    else:
        out[:] = flux
    return least, most


_rooms = threading.local()


def _room(layout: Layout) -> NDArray[np.floating[Any]]:
    """Return this thread's room for the fluxes of a shard, the same one for every shard.

    New memory would come from the system page by page for each shard, at half the time of the kernels.
    """
    shape = (layout.shard_rows, layout.pixels)
    room: NDArray[np.floating[Any]] | None = getattr(_rooms, "last", None)
    if room is None or room.shape != shape or room.dtype != layout.dtype:
        room = _rooms.last = page_aligned(shape, layout.dtype)
    return room


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
