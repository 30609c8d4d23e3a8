"""Whatever Slurm does to a member, it ends with the weights of one that nothing happened to, bit for bit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import JobFailedError, StoreMismatchError
from starnet_hpc.launch.ensemble import train_ensemble
from starnet_hpc.launch.submissions import noted
from starnet_hpc.train import is_trained
from tests import support
from tests.cluster.faults import PATIENCE_S, has_heard, node_failure, out_of_time, preemption, preemption_by_sigterm
from tests.cluster.slurm_harness import Slurm
from tests.cluster.training import (
    Rank,
    best,
    in_the_middle_of_an_epoch,
    ranks,
    reached,
    ready,
)

Act = Callable[[Slurm, list[Rank]], object]


@pytest.fixture(autouse=True)
def alone(slurm: Slurm) -> Iterator[None]:
    """Leave no job to the next test, whatever becomes of this one."""
    yield
    slurm.run("scancel", "--partition", slurm.partition)
    support.wait_until(lambda: not slurm.run("squeue", "--noheader").stdout, "an empty queue", limit_s=PATIENCE_S)


def only_job(slurm: Slurm) -> str:
    (job,) = set(slurm.run("squeue", "--noheader", "--partition", slurm.partition, "--format=%A").stdout.split())
    return job


def signal_from_slurm(slurm: Slurm, everyone: list[Rank]) -> None:
    slurm.run("scancel", "--signal=USR2", only_job(slurm))


def requeue(slurm: Slurm, everyone: list[Rank]) -> None:
    slurm.run("scontrol", "requeue", only_job(slurm))


def node_fails(slurm: Slurm, everyone: list[Rank]) -> None:
    node_failure(slurm, everyone[-1].node, everyone[-1].pid)


def time_limit(slurm: Slurm, everyone: list[Rank]) -> None:
    out_of_time(slurm, only_job(slurm))


def preempted(slurm: Slurm, everyone: list[Rank]) -> None:
    preemption(slurm)


def preempted_by_sigterm(slurm: Slurm, everyone: list[Rank]) -> None:
    last = everyone[-1].pid
    with preemption_by_sigterm(slurm):
        support.wait_until(lambda: has_heard(last, signal.SIGTERM), "SIGTERM", limit_s=PATIENCE_S)


def killed_process(slurm: Slurm, everyone: list[Rank]) -> None:
    """Kill a process of the second node; the job has to be gone within a minute."""
    job, killed = only_job(slurm), everyone[-1]
    assert killed.node == slurm.nodes[1]
    os.kill(killed.pid, signal.SIGKILL)
    began = time.monotonic()

    def running() -> bool:
        return job in slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%A").stdout.split()

    support.wait_until(lambda: not running(), "the end of the job", limit_s=60)
    assert time.monotonic() - began < 60


@contextmanager
def meanwhile(slurm: Slurm, story: Callable[[], object]) -> Iterator[None]:
    """Let a story happen in another thread while members are being waited for; if it fails, they are cancelled."""
    problems: list[BaseException] = []

    def follow() -> None:
        try:
            story()
        except BaseException as problem:  # noqa: BLE001  # shown in the test's own thread
            problems.append(problem)
            slurm.run("scancel", "--partition", slurm.partition)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        assert not problems, problems


def one_after_the_other(slurm: Slurm, config: ExperimentConfig, acts: list[Act]) -> None:
    for lives, act in enumerate(acts):
        in_the_middle_of_an_epoch(config, f"submitit.core._submit {config.run_dir}", lives, partial(act, slurm))


@pytest.mark.slow(reason="four and five lives of two processes, and Slurm's waits between them")
@pytest.mark.parametrize(
    "acts",
    [
        [signal_from_slurm, requeue, preempted_by_sigterm, node_fails],
        [preempted, killed_process, time_limit],
    ],
    ids=["signal, requeue, preemption, node failure", "preemption, killed process, time limit"],
)
def test_a_member_that_slurm_interrupts_again_and_again_ends_with_the_same_weights(
    slurm: Slurm, trained: ExperimentConfig, tmp_path: Path, acts: list[Act]
) -> None:
    config = ready(slurm, tmp_path / "run", checkpoint_minutes=1e-6, cluster={"signal_delay_s": 5})
    with meanwhile(slurm, lambda: one_after_the_other(slurm, config, acts)):
        train_ensemble(config)
    assert reached(config).restarts == len(acts)
    assert support.same_weights(best(config), best(trained))
    log = (config.run_dir / "logs" / "ensemble.log").read_text()
    again = [line for line in log.splitlines() if "submitted again (1 of 2)" in line]
    assert len(again) == (killed_process in acts), "what Slurm itself queues again was submitted twice, or nothing was"


def test_a_cancelled_member_is_named_and_does_not_come_back(slurm: Slurm, tmp_path: Path) -> None:
    config = ready(slurm, tmp_path / "run", epochs=100_000, nodes=1, gpus_per_node=1)

    def cancel() -> None:
        support.wait_until((config.member_dir(0) / "last.pt").exists, "the first checkpoint", limit_s=PATIENCE_S)
        slurm.run("scancel", only_job(slurm))

    words = r"member 0: .*asked to stop in epoch \d+ after step \d+; the state is saved.*the job was cancelled"
    with meanwhile(slurm, cancel), pytest.raises(JobFailedError, match=words):
        train_ensemble(config)
    assert not is_trained(config, 0)
    support.wait_until(lambda: not support.processes(str(config.run_dir / "jobs")), "the end of its processes")


def test_a_job_whose_setup_fails_is_not_tried_again(slurm: Slurm, tmp_path: Path) -> None:
    config = ready(slurm, tmp_path / "run", cluster={"setup": ["echo no such module >&2; exit 1"]})
    with pytest.raises(
        JobFailedError, match=r"(?s)member 0: process 0 ended without an answer \(FAILED\); .*no such module"
    ):
        train_ensemble(config)
    assert "submitted again" not in (config.run_dir / "logs" / "ensemble.log").read_text()


def test_a_command_that_is_lost_loses_no_job_and_a_rerun_finds_it(slurm: Slurm, tmp_path: Path) -> None:
    config = ready(slurm, tmp_path / "run", nodes=1, gpus_per_node=1, checkpoint_minutes=1e-6)
    command = support.start("-m", "starnet_hpc.ensemble", config.run_dir / "config.yaml")
    try:
        support.wait_until(lambda: reached(config).step > 0, "the first steps", limit_s=PATIENCE_S)
        (rank,) = ranks(f"submitit.core._submit {config.run_dir}")
        os.kill(rank.pid, signal.SIGSTOP)
    finally:
        command.kill()
        command.communicate()
    job = only_job(slurm)
    with meanwhile(slurm, lambda: (log_says(config, f"member 0, job {job}"), os.kill(rank.pid, signal.SIGCONT))):
        train_ensemble(config)
    assert noted(config.run_dir / "jobs")[0].job == job
    assert reached(config).restarts == 0


def test_ctrl_c_leaves_jobs_that_wait_in_the_queue_for_a_rerun_of_the_same_configuration(
    slurm: Slurm, tmp_path: Path
) -> None:
    config = ready(slurm, tmp_path / "run", cluster={"extra": {"begin": "now+1hour"}})
    command = support.start("-m", "starnet_hpc.ensemble", config.run_dir / "config.yaml")
    support.wait_until(lambda: noted(config.run_dir / "jobs"), "the submission", limit_s=PATIENCE_S)
    job = only_job(slurm)
    command.send_signal(signal.SIGINT)
    told = command.communicate(timeout=PATIENCE_S)[1]
    assert command.returncode == 1
    assert f"the Slurm jobs {job} go on without this command" in told
    assert f"end them with `scancel {job}`" in told
    other = config.model_copy(update={"train": config.train.model_copy(update={"learning_rate": 1e-4})})
    with pytest.raises(StoreMismatchError, match=f"another configuration by the Slurm job {job}.*`scancel {job}`"):
        train_ensemble(other)

    def cancel() -> None:
        log_says(config, f"member 0, job {job}")
        slurm.run("scancel", job)

    with (
        meanwhile(slurm, cancel),
        pytest.raises(JobFailedError, match=r"member 0: process 0 ended without an answer \(CANCELLED\)"),
    ):
        train_ensemble(config)


def log_says(config: ExperimentConfig, words: str) -> None:
    """Wait for words in the log of the ensemble."""
    log = config.run_dir / "logs" / "ensemble.log"
    support.wait_until(lambda: words in log.read_text(), repr(words), limit_s=PATIENCE_S)


@pytest.mark.slow(reason="three lives of jobs of two processes")
def test_the_script_for_a_member_queues_its_job_again_and_makes_the_same_weights(
    slurm: Slurm, trained: ExperimentConfig, tmp_path: Path
) -> None:
    config = ready(slurm, tmp_path / "run", members=2, checkpoint_minutes=1e-6)
    script = support.REPOSITORY / "slurm" / "member.sbatch"
    nodes = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1")
    node = ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1")
    where = (f"--partition={slurm.partition}", f"--output={tmp_path}/job-%j.log")
    one = ("sbatch", "--parsable", "--array=1", *nodes, *where, script, config.run_dir / "config.yaml")
    job = slurm.run(*one).stdout.strip()
    command = f"starnet_hpc.train {config.run_dir / 'config.yaml'} --member 1"
    in_the_middle_of_an_epoch(config, command, 0, lambda _: slurm.run("scancel", "--signal=USR2", job), member=1)
    other = slurm.run("sbatch", "--parsable", *node, *where, script, config.run_dir / "config.yaml", "0").stdout.strip()
    for each in (other, job):
        slurm.await_end(each, PATIENCE_S)
    # Not in the job's own log: Slurm may end a process that has asked to be queued again before it can say so.
    log = (config.run_dir / "logs" / "train-01.log").read_text()
    assert log.count("asked to stop in epoch") == 1
    assert reached(config, 1).restarts == 1
    for member in range(2):
        assert support.same_weights(best(config, member), best(trained, member))
