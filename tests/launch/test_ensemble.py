"""All members of an ensemble: in this process, and as real submitit jobs on this machine."""

import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, JobFailedError, LauncherError
from starnet_hpc.launch import jobs
from starnet_hpc.launch.ensemble import train_ensemble
from starnet_hpc.launch.jobs import Outcome, gpus_of
from starnet_hpc.launch.members import run_members
from starnet_hpc.networks import describe_members
from starnet_hpc.progress import stage_log
from starnet_hpc.stores import only_writer
from starnet_hpc.train import is_trained
from tests import support


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs inherit this process's environment."""
    for name, value in support.environment().items():
        monkeypatch.setenv(name, value)


def times(config: ExperimentConfig, member: int) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in config.member_dir(member).iterdir()}


def test_all_members_are_trained_in_this_process_and_a_second_call_finds_them(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", ensemble={"members": 3, "executor": "debug"})
    paths = train_ensemble(config)
    assert paths == [config.member_dir(member) / "best.pt" for member in range(3)]
    describe_members(paths)  # three networks, of the same training set
    before = [times(config, member) for member in range(3)]
    assert train_ensemble(config) == paths
    assert [times(config, member) for member in range(3)] == before


def test_a_member_that_fails_in_this_process_does_not_stop_the_others(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", ensemble={"members": 3, "executor": "debug"})
    with only_writer(config.member_dir(1)), pytest.raises(JobFailedError) as caught:
        train_ensemble(config)
    assert re.search(r"1 of 3 members did not finish.*\n  member 1: .*another process", str(caught.value))
    assert [is_trained(config, member) for member in range(3)] == [True, False, True]
    before = times(config, 0)
    train_ensemble(config)
    assert is_trained(config, 1)
    assert times(config, 0) == before


def test_the_executor_slurm_without_slurm_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = support.ready_to_train(tmp_path / "run", ensemble={"members": 1, "executor": "slurm"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match=r"no srun on PATH.*--executor local"):
        train_ensemble(config)


@pytest.mark.slow(reason="three submitit jobs of two processes, each of which starts torch")
def test_jobs_of_two_processes_train_members_and_one_that_crashes_is_named_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"gpus_per_node": 2})
    config.member_dir(1).parent.mkdir()
    config.member_dir(1).touch()  # a file where a folder should be: nobody has foreseen that
    with pytest.raises(JobFailedError) as caught:
        train_ensemble(config, "local")
    told = str(caught.value)
    assert "1 of 2 members did not finish; run the same command again to train only those" in told
    assert "member 1: " in told
    assert re.search(r"the end of \S+/jobs/\d+_0_log\.err:", told)
    assert "FileExistsError" in told
    assert "submitted again" not in (config.run_dir / "logs" / "ensemble.log").read_text()
    assert "member 0" not in told
    assert is_trained(config, 0)

    config.member_dir(1).unlink()
    before = times(config, 0)
    paths = train_ensemble(config, "local")
    assert times(config, 0) == before, "a finished member was trained again"
    describe_members(paths)
    history = (config.member_dir(1) / "history.csv").read_text().splitlines()
    assert len(history) == 1 + config.train.epochs
    log = (config.run_dir / "logs" / "train-01-rank1.log").read_text()
    assert "epoch 2" in log, "the second process was not there"
    for folder in (config.run_dir, config.run_dir / "jobs"):
        # Pickles lie there, and who can change a pickle runs code as its reader.
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def run_here(config: ExperimentConfig, on_poll: Callable[[], None]) -> Outcome:
    """Train member 0 as a job on this machine."""
    with stage_log("ensemble", config.run_dir) as log:
        (outcome,) = run_members(config, [0], "local", log, on_poll)
    return outcome


def processes(config: ExperimentConfig) -> list[int]:
    return support.processes(f"submitit.core._submit {config.run_dir / 'jobs'}")


def test_a_job_that_loses_a_process_is_started_again_so_many_times_and_then_named(tmp_path: Path) -> None:
    config = support.ready_to_train(
        tmp_path / "run",
        train={"epochs": 100_000, "gpus_per_node": 2, "checkpoint_minutes": 1e-6},
        ensemble={"retries": 1},
    )
    killed: set[int] = set()

    def kill_one() -> None:
        ranks = processes(config)
        restarts = len(killed)
        if len(ranks) == 2 and not killed & set(ranks) and progress(config).get("restarts") == restarts:
            killed.add(ranks[1])
            os.kill(ranks[1], signal.SIGKILL)

    outcome = run_here(config, kill_one)
    assert len(killed) == 2
    assert outcome.lost
    assert outcome.problem is not None
    assert "lost contact with the others" in outcome.problem
    assert "ended without an answer; the end of" in outcome.problem
    assert (config.run_dir / "logs" / "ensemble.log").read_text().count("submitted again (1 of 1)") == 1
    assert not support.processes(str(config.run_dir / "jobs"))


def test_a_process_that_waits_for_a_lost_one_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = support.ready_to_train(
        tmp_path / "run", train={"epochs": 100_000, "gpus_per_node": 2}, ensemble={"retries": 0}
    )
    monkeypatch.setattr(jobs, "_INCOMPLETE_S", 1.0)
    hit: list[int] = []

    def halt_one_and_kill_the_other() -> None:
        ranks = processes(config)
        if len(ranks) == 2 and not hit and progress(config):
            hit.extend(ranks)
            os.kill(ranks[0], signal.SIGSTOP)
            os.kill(ranks[1], signal.SIGKILL)

    outcome = run_here(config, halt_one_and_kill_the_other)
    assert hit
    assert outcome.lost
    assert not support.processes(str(config.run_dir / "jobs"))


def progress(config: ExperimentConfig) -> dict[str, int]:
    """Return where member 0 stood at its last checkpoint; nothing before the first one."""
    try:
        saved: dict[str, int] = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
    except (OSError, RuntimeError):
        return {}
    return saved


def test_processes_of_this_machine_do_not_outlive_who_waits_for_them(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": 100_000})

    def interrupt() -> None:
        if (config.member_dir(0) / "last.pt").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(config, interrupt)
    support.wait_until(lambda: not support.processes(str(config.run_dir / "jobs")), "the end of the job")
    assert not is_trained(config, 0)


def test_several_nodes_are_nothing_for_this_machine(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"nodes": 2})
    with pytest.raises(ConfigError, match=r"train\.nodes is 2, but the executor `local` has one machine"):
        train_ensemble(config, "local")


@pytest.mark.parametrize(
    ("place", "gpus", "count", "expected"),
    [
        (0, [], 2, None),
        (0, ["0", "1", "2", "3"], 2, "0,1"),
        (1, ["0", "1", "2", "3"], 2, "2,3"),
        (2, ["0", "1", "2", "3"], 2, "0,1"),
        (1, ["GPU-a", "GPU-b"], 1, "GPU-b"),
        (3, ["0"], 1, "0"),
        (0, ["0"], 2, "0"),
    ],
)
def test_members_that_train_at_the_same_time_get_gpus_of_their_own_while_there_are_enough(
    place: int, gpus: list[str], count: int, expected: str | None
) -> None:
    assert gpus_of(place, gpus, count) == expected
