"""Stage `augment`: realistic spectra from templates, built in parallel, each row a function of its key."""

import json
from pathlib import Path

from starnet_hpc import parallel
from starnet_hpc.config import ExperimentConfig

__all__ = ["augment"]

_SPLITS = ("train", "valid", "test")


def augment(config: ExperimentConfig) -> None:
    """Build the three stores of an experiment, or finish what an earlier run left; `stage.augment` says how.

    What it needs is imported only here, while workers import the same: both take as long as thousands of spectra.
    """
    tasks = sum(-(-getattr(config.augment, f"n_{split}") // config.augment.shard_rows) for split in _SPLITS)
    if not all(_looks_complete(config.store(split)) for split in _SPLITS):
        parallel.expect_workers(config, tasks=tasks, module="starnet_hpc.augment.warm")

    from starnet_hpc.augment import stage

    stage.augment(config)


def _looks_complete(store: Path) -> bool:
    """Say whether a store calls itself complete; `stores` knows better, but takes its time to be imported."""
    try:
        attributes = json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return bool(attributes["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
