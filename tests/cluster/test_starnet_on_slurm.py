"""Training and prediction over the nodes of a real Slurm: the same members and the same catalogue as without it."""

from __future__ import annotations

import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import JobFailedError
from starnet_hpc.launch.ensemble import train_ensemble
from starnet_hpc.launch.rundir import claim
from starnet_hpc.predict import predict
from starnet_hpc.train import is_trained
from tests import support
from tests.cluster.slurm_harness import Slurm

PAIR = {"epochs": 2, "nodes": 2, "gpus_per_node": 2, "batch_size": 16}


def ready(slurm: Slurm, run_dir: Path, *, members: int = 1, **training: object) -> ExperimentConfig:
    """Return an experiment whose members train on 2 nodes x 2 tasks of the test cluster."""
    names = ("PATH", "PYTHONPATH", "OMP_NUM_THREADS")
    return support.ready_to_train(
        run_dir,
        rows=256,
        train={**PAIR, **training},
        ensemble={"members": members, "executor": "slurm"},
        cluster={
            "gpus": False,
            "partition": slurm.partition,
            "cpus_per_task": 1,
            "setup": [f"export {name}={shlex.quote(slurm.environment[name])}" for name in names],
        },
    )


def best(config: ExperimentConfig, member: int = 0) -> Path:
    return config.member_dir(member) / "best.pt"


def restarts(config: ExperimentConfig, member: int = 0) -> int:
    saved = torch.load(config.member_dir(member) / "last.pt", weights_only=True)
    return int(saved["progress"]["restarts"])


@pytest.fixture(scope="module")
def trained(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """Two members, each trained by four processes on two nodes, submitted as one array."""
    config = ready(slurm, tmp_path_factory.mktemp("slurm") / "run", members=2)
    assert train_ensemble(config) == [best(config, 0), best(config, 1)]
    return config


@pytest.fixture
def during(slurm: Slurm) -> Iterator[Callable[[Callable[[], object], Callable[[str], object]], None]]:
    """Let something happen to the only job of the cluster while it is being waited for."""
    threads: list[threading.Thread] = []
    problems: list[BaseException] = []

    def arrange(when: Callable[[], object], what: Callable[[str], object]) -> None:
        def follow() -> None:
            try:
                support.wait_until(when, "the moment to interrupt", limit_s=60)
                (job,) = set(slurm.run("squeue", "-h", "-o", "%A").stdout.split())
                what(job)
            except BaseException as problem:  # noqa: BLE001  # shown in the test's own thread
                problems.append(problem)

        threads.append(threading.Thread(target=follow))
        threads[-1].start()

    yield arrange
    for thread in threads:
        thread.join()
    assert not problems, problems


@pytest.mark.slow(reason="eight processes start torch on the nodes of one machine")
def test_members_train_over_two_nodes_as_one_array(trained: ExperimentConfig) -> None:
    for member in range(2):
        saved = torch.load(best(trained, member), weights_only=True)
        assert saved["facts"]["world"] == 4
        logs = sorted(path.name for path in (trained.run_dir / "logs").glob(f"train-{member:02d}*"))
        assert len(logs) == 4
    jobs = {path.name.split("_")[0] for path in (trained.run_dir / "jobs").glob("*_result.pkl")}
    assert len(jobs) == 1, "not one array"
    assert not support.same_weights(best(trained, 0), best(trained, 1))


def test_ranks_on_two_nodes_write_the_catalogue_that_one_process_writes(
    slurm: Slurm, trained: ExperimentConfig, tmp_path: Path
) -> None:
    support.write_store(trained, "test", 80, key=3, shard_rows=16)
    alone = trained.model_copy(update={"run_dir": tmp_path / "alone"})
    shutil.copytree(trained.run_dir, alone.run_dir, ignore=shutil.ignore_patterns("jobs", "logs"))
    claim(alone)
    predict(alone)
    command = ("python", "-m", "starnet_hpc.predict", str(trained.run_dir / "config.yaml"))
    done = slurm.run("srun", "--mpi=pmi2", "-N2", "-n4", "--ntasks-per-node=2", *command)
    assert "4 ranks" in done.stderr
    for name in ("test_catalogue.fits", "test_catalogue.parquet"):
        assert (trained.run_dir / name).read_bytes() == (alone.run_dir / name).read_bytes()


def test_srun_without_its_mpi_flavour_is_found_out(slurm: Slurm, trained: ExperimentConfig) -> None:
    command = ("python", "-m", "starnet_hpc.predict", str(trained.run_dir / "config.yaml"))
    done = slurm.run("srun", "--mpi=none", "-n2", *command, check=False)
    assert done.returncode != 0
    assert done.stderr.count("2 ranks were asked for, but each of them is alone") == 1


@pytest.mark.slow(reason="three lives of a job of four processes, and two waits for Slurm to queue it again")
def test_a_member_that_slurm_interrupts_goes_on_and_ends_with_the_same_weights(
    slurm: Slurm,
    trained: ExperimentConfig,
    during: Callable[[Callable[[], object], Callable[[str], object]], None],
    tmp_path: Path,
) -> None:
    # Twice: by the signal that precedes a time limit (the job queues itself again), and by `scontrol requeue`.
    config = ready(slurm, tmp_path / "run", checkpoint_minutes=1e-6)

    def begun(lives: int) -> Callable[[], bool]:
        def look() -> bool:
            try:
                return restarts(config) == lives and not best(config).exists()
            except (OSError, RuntimeError):
                return False

        return look

    during(begun(0), lambda job: slurm.run("scancel", "--signal=USR2", job))
    during(begun(1), lambda job: slurm.run("scontrol", "requeue", job))
    train_ensemble(config)
    assert restarts(config) == 2
    assert support.same_weights(best(config), best(trained))


def test_a_cancelled_member_is_named_and_does_not_come_back(
    slurm: Slurm, during: Callable[[Callable[[], object], Callable[[str], object]], None], tmp_path: Path
) -> None:
    config = ready(slurm, tmp_path / "run", epochs=100_000, nodes=1, gpus_per_node=1)
    during((config.member_dir(0) / "last.pt").exists, lambda job: slurm.run("scancel", job))
    with pytest.raises(JobFailedError, match=r"member 0: .*ended without an answer") as caught:
        train_ensemble(config)
    assert re.search(r"asked to stop in epoch \d+ after step \d+; the state is saved", str(caught.value))
    assert not is_trained(config, 0)
    assert not slurm.run("squeue", "-h").stdout
    support.wait_until(lambda: not support.processes(str(config.run_dir / "jobs")), "the end of its processes")
