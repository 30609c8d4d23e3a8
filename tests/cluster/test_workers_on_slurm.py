"""Dask's workers as jobs of a real Slurm: the same stores, lost jobs replaced, none left behind."""

from __future__ import annotations

import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel import slurm as crews
from starnet_hpc.stores import is_complete
from tests import support
from tests.augment.cases import experiment, same_stores, write_grid
from tests.cluster.slurm_harness import Slurm
from tests.cluster.slurm_jobs import TwiceLost, square
from tests.parallel.cases import each


@pytest.fixture
def jobs(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The section `cluster`: a worker a job, and three cores of a node's four, so that two jobs need two nodes."""
    monkeypatch.setattr(crews, "_ASK_SLURM_EVERY_S", 0.5)
    names = ("PATH", "PYTHONPATH")
    return {
        "partition": slurm.partition,
        "cpus_per_task": 1,
        "time": 10,
        "interface": "starnetbr0" if slurm.namespaces else None,  # slurm_common.sh
        "setup": [f"export {name}={shlex.quote(slurm.environment[name])}" for name in names],
        "extra": {"cpus-per-task": 3},
    }


@pytest.fixture
def ready(jobs: dict[str, Any], tmp_path: Path) -> ExperimentConfig:
    config = experiment(tmp_path / "run", augment={"scheduler": "slurm", "workers": 2}, cluster=jobs)
    write_grid(config)
    return config


def nodes_of(slurm: Slurm, config: ExperimentConfig) -> set[str]:
    """Return the nodes on which the workers of an experiment ran."""
    numbers = [path.stem.removeprefix("worker-") for path in (config.run_dir / "logs").glob("worker-*.log")]
    shown = [slurm.run("scontrol", "--oneliner", "show", "job", number).stdout.split() for number in numbers]
    return {word.removeprefix("NodeList=") for words in shown for word in words if word.startswith("NodeList=")}


def no_job_is_left(slurm: Slurm) -> bool:
    return not slurm.run("squeue", "--noheader", "--states=PENDING,RUNNING").stdout


def test_workers_on_two_nodes_write_what_one_process_writes(slurm: Slurm, ready: ExperimentConfig) -> None:
    alone = experiment(ready.run_dir.parent / "alone")
    shutil.copytree(ready.run_dir, alone.run_dir)
    augment(alone)
    augment(ready)
    assert same_stores(ready, alone)
    assert nodes_of(slurm, ready) == set(slurm.nodes[:2])
    assert no_job_is_left(slurm)
    assert not list((ready.run_dir / "jobs").iterdir()), "keys of the run are left"


def test_a_worker_that_is_killed_and_a_job_that_is_cancelled_are_replaced_and_their_work_done_again(
    slurm: Slurm, jobs: dict[str, Any], tmp_path: Path
) -> None:
    task = TwiceLost(tmp_path)  # the only worker: without another one, and another job, nothing would go on
    told = dict(each(task, range(4), run_dir=tmp_path / "run", cluster=jobs, scheduler="slurm", workers=1))
    assert sorted(told) == [0, 1, 2, 3]
    first = (tmp_path / "killed").read_text()
    assert (tmp_path / "cancelled").read_text() == first, "not another worker of the same job"
    assert first not in told.values()
    assert no_job_is_left(slurm)


def test_a_signal_to_the_stage_leaves_a_resumable_store_and_no_jobs(
    slurm: Slurm, jobs: dict[str, Any], tmp_path: Path
) -> None:
    config = experiment(tmp_path / "run", augment={"scheduler": "slurm", "workers": 2, "n_train": 20_000}, cluster=jobs)
    write_grid(config)
    process = support.start("-m", "starnet_hpc.augment", config.run_dir / "config.yaml")
    markers = config.run_dir / "train.markers"
    support.wait_until(lambda: process.poll() is not None or list(markers.glob("shard-*")), "the first shard", 60)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said.count("stopped by SIGTERM with") == 1
    assert list(markers.glob("shard-*"))
    assert not any(is_complete(config.store(split)) for split in SPLITS)
    assert no_job_is_left(slurm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partition": "nowhere"}, r"Slurm refuses the workers' jobs: .*[Ii]nvalid partition.*; check the section"),
        ({"setup": ["echo no such module >&2; exit 1"]}, r"(?s)ended without a worker; check cluster\.setup.*no such"),
        ({"extra": {"begin": "now+1hour"}, "queue_minutes": 0.03}, r"no worker .* in 0\.03 minutes .*PENDING \(Begin"),
    ],
)
def test_jobs_that_bring_no_worker_are_explained(
    slurm: Slurm, jobs: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    cluster = {**jobs, **changes}
    with pytest.raises(LauncherError, match=message):
        list(each(square, range(2), run_dir=tmp_path / "run", cluster=cluster, scheduler="slurm", workers=2))
    assert no_job_is_left(slurm)
