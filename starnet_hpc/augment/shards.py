"""The unit of work of the augment stage: one whole shard."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.errors import StarnetError
from starnet_hpc.stores import Layout, MappedRows, open_store, write_shard


@dataclass(frozen=True)
class ShardWork:
    """A shard and what was drawn for its rows."""

    shard: int
    draws: Draws


@dataclass(frozen=True)
class ShardTask:
    """Computes the rows of a shard and writes it; picklable, the same on every worker."""

    store: Path
    layout: Layout
    recipe_digest: str
    grid: Path
    recipe: SpectrumRecipe

    def __call__(self, work: ShardWork) -> int:
        """Write one shard; return the number of its rows."""
        rows = self.layout.rows_of(work.shard)
        # One model a worker process, not one a task: its tables cost more than many spectra.
        recipe = _shared(self.recipe, self.recipe_digest)
        flux = normalised_rows(recipe, _templates(self.grid), work.draws, rows.start).astype(self.layout.dtype)
        facts = {"flux_min": float(flux.min()), "flux_max": float(flux.max())}
        write_shard(self.store, self.layout, self.recipe_digest, work.shard, flux, facts)
        return len(rows)


def normalised_rows(recipe: SpectrumRecipe, templates: MappedRows, draws: Draws, first_row: int) -> NDArray[np.float32]:
    """Return continuum-normalised spectra [rows, pixels] for consecutive rows of a store.

    Raises:
        StarnetError: a spectrum has no continuum to divide by.
    """
    out: NDArray[np.float32] | None = None
    for k in range(draws.template.size):
        row, template = first_row + k, int(draws.template[k])
        observed = recipe.observed(
            templates[template],
            row,
            vsini=float(draws.vsini[k]),
            epsilon=float(draws.epsilon[k]),
            vrad=float(draws.vrad[k]),
            noise=float(draws.noise[k]),
        )
        continuum = recipe.continuum(observed)
        if not continuum.min() > 0:  # also true for NaN
            raise StarnetError(
                f"row {row} (template {template} of grid.zarr): the continuum is not positive everywhere; check "
                f"augment.continuum_segment, the instrument's strong_lines and the template's flux"
            )
        if out is None:
            out = np.empty((draws.template.size, observed.size), dtype=np.float32)
        np.divide(observed, continuum, out=out[k])
    if out is None:
        raise ValueError("a shard without rows")
    return out


@lru_cache(maxsize=4)
def _templates(grid: Path) -> MappedRows:
    return open_store(grid, made_by="ingest").mapped_rows()


_recipes: dict[str, Any] = {}


def _shared(recipe: SpectrumRecipe, digest: str) -> SpectrumRecipe:
    """Return this process's own copy of a recipe, with the tables that it has built so far."""
    shared: SpectrumRecipe = _recipes.setdefault(digest, recipe)
    return shared
