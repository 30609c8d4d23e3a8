"""What augmented spectra cost on this machine, from a few of them that are made aside."""

import time
from pathlib import Path

from starnet_hpc.augment.shards import ShardTask, ShardWork, make_shard
from starnet_hpc.augment.splits import Split, plan_splits
from starnet_hpc.augment.stage import check_coverage
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import Store, building


def rehearse(config: ExperimentConfig, grid: Store, count: int, folder: Path) -> tuple[list[Split], float, float]:
    """Return what the three stores will hold, the CPU time of a spectrum [s], and the time of the first shard [s].

    Args:
        config: of the experiment.
        grid: its templates, or some of them.
        count: how many spectra to make, once to have all compiled and once for the clock.
        folder: where to write them.

    Raises:
        CoverageError: the templates are too short for the instrument and the largest velocities.
        GridFormatError: there are too few.
        StarnetError: spectra cannot be made of them.
    """
    instrument = load_instrument(config.instrument)
    check_coverage(grid, instrument, config)
    few = {"n_train": 2 * count, "n_valid": 1, "n_test": 1, "shard_rows": count}
    aside = config.model_copy(update={"run_dir": folder, "augment": config.augment.model_copy(update=few)})
    split = plan_splits(aside, grid, instrument)[0]
    with building(**vars(split.plan())) as build:
        task = ShardTask(split.path, split.layout, build.recipe_digest, grid.path, grid.content_digest, split.spectra)

        def make(shard: int) -> tuple[float, float]:
            wall, cpu = time.perf_counter(), time.process_time()
            make_shard(ShardWork(task, shard, split.draws.rows(split.layout.rows_of(shard))))
            return time.perf_counter() - wall, time.process_time() - cpu

        first_wall, _ = make(0)
        _, cpu = make(1)
    return plan_splits(config, grid, instrument), cpu / count, first_wall
