"""Verify: whether the stores of a run hold what was written, and what to do if they do not."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from starnet_hpc.augment.verification import regenerate as regenerate_rows
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreIncompleteError
from starnet_hpc.labels import LABELS
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import (
    Damage,
    check_columns,
    check_shards,
    discard_damaged,
    is_complete,
    open_store,
    unfinished_shards,
)

_MADE_BY = {"grid": "ingest", "train": "augment", "valid": "augment", "test": "augment", "survey": "observe"}
_MOST_TOLD = 20
_BINS = 10


def verify(config: ExperimentConfig, *, regenerate: int = 0, mend: bool = False) -> None:
    """Check every store of a run by its digests, and tell the ranges of its fluxes and labels.

    Args:
        config: of the experiment.
        regenerate: how many random rows of each augmented store to compute again from their keys.
        mend: make damaged stores unfinished again, without their damaged shards, for their stages to finish.

    Raises:
        MissingInputError: the run has no store yet.
        StoreDamagedError: something is not as it was written.
        StoreIncompleteError: all is well so far, but a store is not finished.
    """
    with stage_log("verify", config.run_dir) as log:
        names = [name for name in _MADE_BY if (config.store(name) / "zarr.json").exists()]
        if not names:
            raise MissingInputError(f"{config.run_dir}: there is no store to verify yet")
        damages = {name: _check(config.store(name), name, log) for name in names}
        if regenerate and not any(damages.values()):
            for found in regenerate_rows(config, regenerate):
                log.info("%s: %d of %d rows computed again are identical", found.store, found.identical, found.rows)
                damages[found.store] += found.damages
        if bad := {name: found for name, found in damages.items() if found}:
            raise StoreDamagedError(_advice(config, bad, mended=_mend(config, bad) if mend else False))
        if unfinished := [name for name in names if not is_complete(config.store(name))]:
            raise StoreIncompleteError(
                f"{config.run_dir}: {', '.join(unfinished)} not finished; what is there is as it was written. "
                f"Run {_stages(unfinished)} to go on"
            )


def _check(path: Path, name: str, log: StageLog) -> list[Damage]:
    damages, lowest, highest, rows = check_columns(path), math.inf, -math.inf, 0
    checks = check_shards(path)
    for check in checks:
        rows += len(check.rows)
        if check.damage:
            damages.append(check.damage)
        else:
            lowest, highest = min(lowest, check.flux_range[0]), max(highest, check.flux_range[1])
    state = f"{len(unfinished_shards(path))} shards still to do" if not is_complete(path) else "complete"
    log.info("%s: %s, %d rows, flux %.4g to %.4g, %d damages", path, state, rows, lowest, highest, len(damages))
    if not damages and is_complete(path) and name != "survey":
        _tell_labels(path, log)
    return damages


def _tell_labels(path: Path, log: StageLog) -> None:
    store = open_store(path, made_by="")
    for name, values in zip(store.label_names, store.column("labels").T, strict=True):
        counts, edges = np.histogram(values, bins=_BINS)
        digits = LABELS[name].decimals
        log.info("  %-5s %.*f to %.*f: %s", name, digits, edges[0], digits, edges[-1], " ".join(map(str, counts)))


def _mend(config: ExperimentConfig, bad: dict[str, list[Damage]]) -> bool:
    for name, found in bad.items():
        discard_damaged(config.store(name), found)
    return True


def _advice(config: ExperimentConfig, bad: dict[str, list[Damage]], *, mended: bool) -> str:
    all_found = [str(damage) for found in bad.values() for damage in found]
    more = f"\n  ... and {len(all_found) - _MOST_TOLD} more" if len(all_found) > _MOST_TOLD else ""
    listed = "\n  ".join(all_found[:_MOST_TOLD]) + more
    if mended:
        remedy = f"The damaged shards were removed and {', '.join(bad)} marked as unfinished: run {_stages(bad)} now"
    else:
        remedy = f"`starnet-hpc verify CONFIG --mend`, then {_stages(bad)}, make these shards anew and no others"
    return f"{config.run_dir}: not everything is as it was written:\n  {listed}\n{remedy}"


def _stages(names: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(f"`starnet-hpc {_MADE_BY[name]} CONFIG`" for name in names))
