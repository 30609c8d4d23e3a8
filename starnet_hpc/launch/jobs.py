"""submitit's only door: members as jobs on this machine or on Slurm."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import submitit
import torch
from submitit.helpers import TorchDistributedEnvironment

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, InterruptedRunError, LauncherError, StarnetError
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
    gpus: str | None = None
    """What CUDA_VISIBLE_DEVICES shall be; None leaves it as the scheduler set it."""

    def __call__(self) -> str | None:
        """Return None if the member is trained, or the message for the user if it is not."""
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        _announce_ranks()
        try:
            train(self.config, self.member)
        except (InterruptedRunError, LauncherError) as error:
            if submitit.JobEnvironment().cluster == "slurm":
                _leave(error)
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
        gpus = _visible_gpus() if executor == "local" else []
        jobs = _submit(
            maker,
            [
                MemberJob(config, member, gpus_of(place, gpus, config.train.gpus_per_node))
                for place, member in enumerate(wave)
            ],
        )
        try:
            outcomes += _wait(dict(zip(wave, jobs, strict=True)), on_poll)
        except BaseException:
            for job in jobs:  # jobs would outlive this process
                job.cancel(check=False)
            raise
    return outcomes


def gpus_of(place: int, gpus: Sequence[str], count: int) -> str | None:
    """Return the GPUs of the member at a place among those that train at the same time; None without any GPU.

    Args:
        place: from 0.
        gpus: names of this machine's GPUs, as CUDA_VISIBLE_DEVICES has them.
        count: processes of a member, one GPU each while there are enough.
    """
    if not gpus:
        return None
    return ",".join(dict.fromkeys(gpus[(place * count + k) % len(gpus)] for k in range(count)))


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
    """Return the ranks' complaints, and the end of the log of those that could not even complain."""
    told: list[str] = []
    silent: list[str] = []
    for rank in range(job.num_tasks):
        try:
            message = _answer(job.task(rank), wait=not silent)
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError):
            log = Path(job.task(rank).paths.stderr)
            silent.append(f"process {rank} ended without an answer; the end of {log}:")
            silent += [f"    {line}" for line in _tail(log)]
        else:
            told += [message] if message else []
    return "\n    ".join([*dict.fromkeys(told), *silent]) or None


def _answer(task: submitit.Job[Any], *, wait: bool) -> str | None:
    """Return what one process of an ended job said.

    Args:
        task: the process.
        wait: whether to give a slow file system some seconds to show it, if Slurm says that all went well.
    """
    if not task.paths.result_pickle.exists():
        ended_well = not isinstance(task, submitit.LocalJob) and task.state.startswith(("COMPLETED", "UNKNOWN"))
        if not (wait and ended_well):
            raise submitit.core.utils.UncompletedJobError
    answer: str | None = task.result()
    return answer


def _tail(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ["(it cannot be read)"]
    return lines[-_LOG_LINES:] or ["(it is empty)"]


def _local_executor(config: ExperimentConfig) -> submitit.Executor:
    if config.train.nodes > 1:
        raise ConfigError(
            f"train.nodes is {config.train.nodes}, but the executor `local` has one machine: set it to 1 and raise "
            f"train.gpus_per_node, or use the executor `slurm`"
        )
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
    if shutil.which("srun") is None:
        raise LauncherError("there is no Slurm here (no srun on PATH): use --executor local, or start on a login node")
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
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # whoever can change a pickled job can run code as this user
    return folder


def _visible_gpus() -> list[str]:
    """Return the GPUs of this machine; submitit would hide them from local jobs."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


def _announce_ranks() -> None:
    """Tell torch.distributed, through the environment, which tasks the scheduler started."""
    environment = submitit.JobEnvironment()
    if environment.num_tasks == 1:
        return
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    if environment.num_nodes == 1:
        os.environ["MASTER_ADDR"] = "127.0.0.1"  # a laptop's own name often resolves to nothing


def _leave(error: InterruptedRunError | LauncherError) -> NoReturn:
    """End a Slurm job's process without an answer, so that whoever waits for the job goes on waiting if it comes back.

    submitit's own handler would checkpoint inside the signal handler of one rank, while the others wait for it in a
    collective. In `train` all ranks have stopped together and saved, and the job is queued again: by Slurm itself where
    it ends the job (SIGTERM: preemption or `scontrol requeue`; after `scancel` it must not come back), else from here.
    """
    words = str(error)
    if isinstance(error, InterruptedRunError):
        environment = submitit.JobEnvironment()
        if environment.global_rank > 0:  # to fail before the first has queued the job again might end the first
            raise SystemExit(0)
        if error.signal != signal.SIGTERM:
            command = ["scontrol", "requeue", environment.job_id]
            done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
            words += f"; {' '.join(command)}: {done.stderr.strip() or 'queued again'}"
    raise SystemExit(words)
