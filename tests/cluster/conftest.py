"""Fixtures of the tests that need a cluster: a real Slurm on this machine, shared by the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch import slurm as queue
from starnet_hpc.launch.ensemble import train_ensemble
from tests.cluster import slurm_harness
from tests.cluster.slurm_harness import Slurm
from tests.cluster.training import best, ready

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known even where the project's settings do not list it."""
    config.addinivalue_line("markers", "cluster: needs a real Slurm (root on Debian)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; the hook sees those of all folders."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


def in_ci() -> bool:
    """Say whether nobody would notice a skipped test."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(scope="session")
def slurm(pytestconfig: pytest.Config) -> Iterator[Slurm]:
    """A running Slurm, stopped at the end if it was started here and STARNET_KEEP_SLURM is not 1.

    Without root or Debian its tests are skipped, except under CI, where they fail: there it must not vanish unseen.
    """
    reason = slurm_harness.obstacle()
    if reason is not None:
        (pytest.fail if in_ci() else pytest.skip)(reason)
    try:
        cluster, started = slurm_harness.start(pytestconfig.rootpath)
    except slurm_harness.SlurmError as error:  # every test shows it: the daemon's words and no traceback
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with pytest.MonkeyPatch.context() as patch:
        for name in slurm_harness.SETTINGS:  # sbatch hands them on to jobs, where srun would obey them
            patch.delenv(name, raising=False)
        _hasten_submitit(patch)
        patch.setattr(queue, "_ASK_EVERY_S", 1.0)
        with slurm_harness.impatience():
            yield cluster
    if started and os.environ.get("STARNET_KEEP_SLURM") != "1":
        slurm_harness.stop()


@pytest.fixture(scope="session")
def trained(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """Two members, each trained by two processes on two nodes, submitted as one array; nothing happened to them."""
    config = ready(slurm, tmp_path_factory.mktemp("slurm") / "run", members=2)
    assert train_ensemble(config) == [best(config, 0), best(config, 1)]
    return config


def _hasten_submitit(patch: pytest.MonkeyPatch) -> None:
    """Let submitit ask for a job's state every other second; else the pauses would grow to ten minutes."""
    try:
        import submitit
    except ImportError:  # the tests that use it say so
        return
    patch.setattr(submitit.SlurmJob.watcher, "_delay_s", 2)
