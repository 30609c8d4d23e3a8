"""Whether rows of the three stores are what their keys say, by computing some of them again."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.shards import normalised, store_into
from starnet_hpc.augment.splits import Split, plan_splits
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import Damage, MappedRows, Store, finished, open_store

_ROUNDINGS = 4.0
"""Rows may differ by so many roundings of their type from one kind of processor to another."""


@dataclass
class Regenerated:
    """How rows of one store compare with what their keys say."""

    store: str
    rows: int = 0
    identical: int = 0
    """Rows equal to the last bit; on the same kind of machine, all of them."""
    damages: list[Damage] = field(default_factory=list)


def regenerate(config: ExperimentConfig, count: int) -> list[Regenerated]:
    """Compute random rows of each finished store again, and compare them, and all labels and draws, with the store.

    Args:
        config: of the experiment.
        count: how many rows of each store; all, if it has fewer.

    Raises:
        StoreMismatchError: a store was made from another configuration.
        MissingInputError: the templates are not there any more.
    """
    grid = open_store(config.store("grid"), made_by="ingest")
    splits = plan_splits(config, grid, load_instrument(config.instrument))
    return [
        _compare(split, open_store(split.path, made_by="augment"), grid.mapped_rows(), count)
        for split in splits
        if finished(split.path, split.recipe)
    ]


def _compare(split: Split, store: Store, templates: MappedRows, count: int) -> Regenerated:
    found = Regenerated(split.name, rows=min(count, split.layout.rows))
    for name, values in split.columns().items():
        if not np.array_equal(store.column(name), values):
            found.damages.append(Damage(split.path, f"column {name} is not what its keys say"))
    # Other rows every time: whoever checks often has in the end checked all.
    for row in np.sort(np.random.default_rng().choice(split.layout.rows, size=found.rows, replace=False)).tolist():
        (flux,) = normalised(split.spectra, templates, split.draws.rows(range(row, row + 1)))
        ours = np.empty(flux.size, dtype=split.layout.dtype)
        store_into(ours, flux, row)
        theirs = store.read(row, row + 1)[0]
        if np.array_equal(ours, theirs):
            found.identical += 1
        elif not _alike(ours, theirs):
            shard = row // split.layout.shard_rows
            what = f"has another row {row} than its key says"
            found.damages.append(Damage(split.path, what, shard, split.layout.rows_of(shard)))
    return found


def _alike(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> bool:
    tolerance = _ROUNDINGS * float(np.finfo(ours.dtype).eps)
    return np.allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=tolerance, atol=tolerance)
