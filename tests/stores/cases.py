"""Small stores."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.stores import Layout, Store, building, open_store, write_shard

RECIPE: dict[str, Any] = {"stage": "augment 1", "seed": 0, "augment": {"noise_max": 0.07}}
LAYOUT = Layout(rows=50, pixels=40, shard_rows=16)


def fluxes(layout: Layout, seed: int = 1) -> NDArray[Any]:
    """Return fluxes [rows, pixels] of the layout's type."""
    return np.random.default_rng(seed).normal(1.0, 0.1, (layout.rows, layout.pixels)).astype(layout.dtype)


def build(
    path: Path,
    layout: Layout = LAYOUT,
    *,
    flux: NDArray[Any] | None = None,
    recipe: dict[str, Any] = RECIPE,
    columns: dict[str, NDArray[Any]] | None = None,
    at_most: int | None = None,
) -> list[int]:
    """Write the missing shards of a store, `at_most` so many, and finalise it if none is left; return those written."""
    values = fluxes(layout) if flux is None else flux
    with building(
        path,
        recipe=recipe,
        layout=layout,
        wavelength=5000.0 + 0.1 * np.arange(layout.pixels),
        columns={"labels": np.arange(2.0 * layout.rows).reshape(-1, 2)} if columns is None else columns,
        attributes={"label_names": ["teff", "logg"]},
    ) as store:
        written = store.missing()[:at_most]
        for shard in written:
            rows = layout.rows_of(shard)
            write_shard(path, layout, store.recipe_digest, shard, values[rows.start : rows.stop], {"shard": shard})
        if not store.complete and not store.missing():
            store.finalise()
        return written


def read(path: Path) -> Store:
    """Open a finished store."""
    return open_store(path, made_by="augment")
