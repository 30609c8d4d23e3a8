"""submitit's only door: members as jobs on this machine or on Slurm."""

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import TorchDistributedEnvironment

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import InterruptedRunError, LauncherError, StarnetError
from starnet_hpc.train import train

_POLL_S = 0.5
_ASK_SLURM_EVERY_S = 10
_LOG_LINES = 8
_YEAR_MIN = 365 * 24 * 60


@dataclass(frozen=True)
class MemberJob:
    """Trains one member inside a job; importable, so that submitit can pickle it by name."""

    config: ExperimentConfig
    member: int

    def __call__(self) -> str | None:
        """Return None if the member is trained, or the message for the user if it is not."""
        _announce_ranks()
        try:
            train(self.config, self.member)
        except InterruptedRunError as error:
            # submitit's own handler would checkpoint inside the signal handler of one rank, while the others wait for it
            # in a collective; ours has let all ranks stop together and saved, so what is left to do is to queue again.
            _requeue(error)
            return str(error)
        except StarnetError as error:
            return str(error)
        return None

    def checkpoint(self) -> Any:
        """Return what submitit submits again if a signal comes before training has begun."""
        return submitit.helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    member: int
    problem: str | None
    """None: the member is trained."""


def run_members(
    config: ExperimentConfig, members: Sequence[int], executor: str, on_poll: Callable[[], None]
) -> list[Outcome]:
    """Train members as jobs, wait for them, and return how each ended.

    Args:
        config: of the experiment.
        members: which ones.
        executor: `local` or `slurm`.
        on_poll: called about twice a second while jobs run.
    """
    logging.getLogger("submitit").setLevel(logging.ERROR)
    maker = _slurm_executor(config) if executor == "slurm" else _local_executor(config)
    at_once = len(members) if executor == "slurm" else config.ensemble.parallel
    outcomes: list[Outcome] = []
    for begin in range(0, len(members), at_once):
        wave = members[begin : begin + at_once]
        jobs = _submit(maker, [MemberJob(config, member) for member in wave])
        try:
            outcomes += _wait(dict(zip(wave, jobs, strict=True)), on_poll)
        except BaseException:
            for job in jobs:  # jobs would outlive this process
                job.cancel(check=False)
            raise
    return outcomes


def _submit(executor: submitit.Executor, jobs: list[MemberJob]) -> list[submitit.Job[Any]]:
    try:
        with executor.batch():  # on Slurm: one array
            return [executor.submit(job) for job in jobs]
    except (submitit.core.utils.FailedJobError, RuntimeError, ValueError, NameError) as error:
        raise LauncherError(f"the members could not be submitted: {error}; check the section `cluster`") from None


def _wait(jobs: dict[int, submitit.Job[Any]], on_poll: Callable[[], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    waiting = dict(jobs)
    while waiting:
        on_poll()
        for member, job in list(waiting.items()):
            if job.done():
                outcomes.append(Outcome(member, _problem(job)))
                del waiting[member]
        if waiting:
            time.sleep(_POLL_S)
    return outcomes


def _problem(job: submitit.Job[Any]) -> str | None:
    """Return the first rank's complaint, or the end of its log if it could not even complain."""
    try:
        told = [message for message in job.results() if message is not None]
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError):
        tail = [line for path in _error_logs(job) for line in _tail(path)]
        return "the job ended without an answer; the end of its log:\n    " + "\n    ".join(tail or ["(empty)"])
    return told[0] if told else None


def _error_logs(job: submitit.Job[Any]) -> list[Path]:
    pattern = Path(job.paths.stderr).name.replace("_0_log", "_*_log")
    return sorted(Path(job.paths.folder).glob(pattern))


def _tail(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]


def _local_executor(config: ExperimentConfig) -> submitit.Executor:
    executor = submitit.LocalExecutor(folder=_job_folder(config))
    executor.update_parameters(
        timeout_min=_YEAR_MIN,  # a laptop has no wall time
        tasks_per_node=config.train.gpus_per_node,
        signal_delay_s=30,
    )
    return executor


def _slurm_executor(config: ExperimentConfig) -> submitit.Executor:
    cluster, training = config.cluster, config.train
    # submitit asks sacct at most this often for each job; its default of ten minutes hides the end of short jobs.
    submitit.SlurmJob.watcher._delay_s = _ASK_SLURM_EVERY_S
    executor = submitit.SlurmExecutor(folder=_job_folder(config), max_num_timeout=10_000)
    parameters: dict[str, Any] = {
        "job_name": config.name,
        "nodes": training.nodes,
        "ntasks_per_node": training.gpus_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "time": cluster.time,
        "signal_delay_s": cluster.signal_delay_s,
        "additional_parameters": dict(cluster.extra),
        "setup": list(cluster.setup) or None,
        "partition": cluster.partition,
        "account": cluster.account,
        "mem": None if cluster.mem_gb is None else f"{cluster.mem_gb:g}GB",
        "gpus_per_node": training.gpus_per_node if cluster.gpus else None,
    }
    executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
    return executor


def _job_folder(config: ExperimentConfig) -> Path:
    folder = config.run_dir / "jobs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _announce_ranks() -> None:
    """Tell torch.distributed, through the environment, which tasks the scheduler started."""
    environment = submitit.JobEnvironment()
    if environment.num_tasks == 1:
        return
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    if environment.num_nodes == 1:
        import os

        os.environ["MASTER_ADDR"] = "127.0.0.1"  # a laptop's own name often resolves to nothing


def _requeue(error: InterruptedRunError) -> None:
    """Queue this Slurm job again and leave without a result, so that whoever waits for it goes on waiting."""
    environment = submitit.JobEnvironment()
    if environment.cluster != "slurm":
        return
    if environment.global_rank == 0:
        subprocess.run(["scontrol", "requeue", environment.job_id], check=True, timeout=60)
    raise SystemExit(f"{error}; queued again")
