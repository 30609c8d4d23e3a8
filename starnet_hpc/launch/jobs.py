"""Members as jobs on this machine or on Slurm; with `memberjob`, which runs in them, submitit's only door."""

import contextlib
import logging
import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, LauncherError, StoreMismatchError
from starnet_hpc.launch.memberjob import Complaint, MemberJob
from starnet_hpc.launch.slurm import UNKNOWN, Queue, is_alive, states_of_jobs
from starnet_hpc.launch.submissions import Submission, note, noted, noted_chain
from starnet_hpc.launch.words import left_alone

_LOG_LINES = 8
_YEAR_MIN = 365 * 24 * 60
_FILES_APPEAR_S = 15
"""A slow file system gets this long to show what a process on another machine has written."""
_INCOMPLETE_S = 30
"""What is left of a job after it has lost a process ends by itself this soon, or is ended."""
_FIRST_WORDS = "Starting with JobEnvironment"
"""What submitit logs as soon as Python has started in a job."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    member: int
    problem: str | None
    """None: the member is trained."""
    lost: bool = False
    """Whether a process or a machine was lost, so that another job can go on from the last checkpoint."""


class Jobs(ABC):
    """Members that train as jobs at the same time."""

    def __init__(self, config: ExperimentConfig, slots: int) -> None:
        logging.getLogger("submitit").setLevel(logging.ERROR)
        self.slots = slots
        """How many members may train at the same time."""
        self.running: dict[int, submitit.Job[Any]] = {}
        self._config = config
        self._folder = config.run_dir / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # whoever can change a pickled job can run code as this user

    @abstractmethod
    def submit(self, members: Sequence[int]) -> None:
        """Submit a job for each of these members.

        Raises:
            LauncherError: they were refused.
        """

    @abstractmethod
    def adopt(self, members: Sequence[int]) -> None:
        """Take over the jobs of those members that an earlier command has submitted and that wait or run."""

    @abstractmethod
    def leave(self) -> str:
        """Let go of all jobs, because this command ends; return what becomes of them."""

    @abstractmethod
    def _has_ended(self, job: submitit.Job[Any]) -> bool: ...

    @abstractmethod
    def _state(self, job: submitit.Job[Any]) -> str:
        """Return the state of an ended job, as Slurm names it; nothing on this machine."""

    def ended(self) -> list[Outcome]:
        """Return how those jobs ended that have done so since this was last asked."""
        over = [member for member, job in self.running.items() if self._has_ended(job)]
        return [self._outcome(member, self.running.pop(member)) for member in over]

    def _start(self, executor: submitit.Executor, jobs: list[MemberJob]) -> None:
        try:
            with executor.batch():  # on Slurm: one array
                submitted = [executor.submit(job) for job in jobs]
        except (FailedJobError, FailedSubmissionError, RuntimeError, ValueError, NameError) as error:
            raise LauncherError(f"the members could not be submitted: {error}; check the section `cluster`") from None
        self.running |= {job.member: handle for job, handle in zip(jobs, submitted, strict=True)}

    def _outcome(self, member: int, job: submitit.Job[Any]) -> Outcome:
        """Return the ranks' complaints, and the end of the log of those that could not even complain."""
        state = self._state(job)
        told: list[Complaint] = []
        silent: list[str] = []
        crashed = False
        for rank in range(job.num_tasks):
            task = job.task(rank)
            try:
                complaint = _answer(task, wait=not silent and state in {"COMPLETED", UNKNOWN})
            except UncompletedJobError as error:
                crashed = crashed or isinstance(error, FailedJobError)
                log = Path(task.paths.stderr)
                how = f" ({state})" if state else ""
                silent.append(f"process {rank} ended without an answer{how}; the end of {log}:")
                silent += [f"    {line}" for line in _tail(log)]
            else:
                told += [complaint] if complaint else []
        if not told and not silent:
            return Outcome(member, None)
        # Whoever shows an outcome names its member.
        words = [*dict.fromkeys(one.words.removeprefix(f"member {member}: ") for one in told), *silent]
        lost = all(one.lost for one in told) and not crashed
        lost = lost and not state.startswith("CANCELLED") and _has_begun(job)
        return Outcome(member, "\n    ".join(words), lost)


class LocalJobs(Jobs):
    """Members as processes of this machine."""

    def __init__(self, config: ExperimentConfig) -> None:
        if config.train.nodes > 1:
            raise ConfigError(
                f"train.nodes is {config.train.nodes}, but the executor `local` has one machine: set it to 1 and raise "
                f"train.gpus_per_node, or use the executor `slurm`"
            )
        super().__init__(config, config.ensemble.parallel)
        self._executor = submitit.LocalExecutor(folder=self._folder)
        self._executor.update_parameters(
            timeout_min=_YEAR_MIN,  # a laptop has no wall time
            tasks_per_node=config.train.gpus_per_node,
            signal_delay_s=30,
        )
        self._gpus = _visible_gpus()
        self._places: dict[int, int] = {}
        self._whole: dict[str, float] = {}
        """When each job was last seen with all its processes."""

    def submit(self, members: Sequence[int]) -> None:
        """Start the processes, each member's on GPUs of its own while there are enough."""
        taken = {self._places[member] for member in self.running}
        free = (place for place in range(self.slots) if place not in taken)
        self._places |= dict(zip(members, free, strict=False))
        count = self._config.train.gpus_per_node
        self._start(
            self._executor,
            [MemberJob(self._config, m, gpus_of(self._places[m], self._gpus, count)) for m in members],
        )

    def adopt(self, members: Sequence[int]) -> None:
        """Nothing: processes of this machine end with the command that started them."""

    def leave(self) -> str:
        """End all processes."""
        for job in self.running.values():
            job.cancel(check=False)
        return "their processes are ended"

    def _has_ended(self, job: submitit.Job[Any]) -> bool:
        if job.done():
            return True
        # Whoever waits for a lost process on a GPU waits for ten minutes; Slurm and torchrun do not let it.
        now = time.monotonic()
        if _children(int(job.job_id)) in {None, job.num_tasks}:
            self._whole[job.job_id] = now
        elif now - self._whole.setdefault(job.job_id, now) > _INCOMPLETE_S:
            self._whole[job.job_id] = math.inf  # once: a second signal would keep the first from ending them
            job.cancel(check=False)
        return False

    def _state(self, job: submitit.Job[Any]) -> str:
        return ""


class SlurmJobs(Jobs):
    """Members as jobs of Slurm, which do not need the command that submitted them."""

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__(config, config.ensemble.members)
        self._executor = _slurm_executor(config, self._folder)
        self._queue = Queue()

    def submit(self, members: Sequence[int]) -> None:
        """Submit one array, and keep a note of it for a later command."""
        from starnet_hpc.train import member_digest

        recipes = {member: member_digest(self._config, member) for member in members}
        self._start(self._executor, [MemberJob(self._config, member) for member in members])
        made = {member: self.running[member] for member in members}
        note(self._folder, {m: Submission(job.job_id, job.num_tasks, recipes[m]) for m, job in made.items()})

    def adopt(self, members: Sequence[int]) -> None:
        """Take over jobs that are noted and that Slurm still knows to wait or run.

        Raises:
            LauncherError: Slurm does not answer, so that members might be submitted twice.
            StoreMismatchError: such a job trains its member with another configuration.
        """
        from starnet_hpc.train import member_digest

        before = {member: one for member, one in noted(self._folder).items() if member in members}
        chain = {job.member: job.job for job in noted_chain(self._folder).values() if job.member in members}
        states = states_of_jobs() if before or chain else {}
        if states is None:
            raise LauncherError("Slurm does not say which jobs there are (squeue fails): run the same command later")
        for number, job in chain.items():
            if job is not None and is_alive(job, states):
                raise LauncherError(
                    f"member {number} is in the Slurm job {job}, which `starnet-hpc run` has submitted: "
                    f"`starnet-hpc status CONFIG` follows it, `scancel {job}` ends it"
                )
        for member, one in before.items():
            if not is_alive(one.job, states):
                continue
            if one.recipe != member_digest(self._config, member):
                raise StoreMismatchError(
                    f"member {member} is being trained with another configuration by the Slurm job {one.job}: wait "
                    f"for it, or end it with `scancel {one.job}`"
                )
            self.running[member] = submitit.SlurmJob(self._folder, one.job, tasks=range(one.processes))

    def leave(self) -> str:
        """Leave the jobs alone: they may have waited for hours, and a rerun finds them."""
        return left_alone([job.job_id for job in self.running.values()])

    def _has_ended(self, job: submitit.Job[Any]) -> bool:
        with contextlib.suppress(OSError):
            self._folder.chmod(0o700)  # makes a network file system look again
        answered = all(job.task(rank).paths.result_pickle.exists() for rank in range(job.num_tasks))
        return answered or self._queue.has_ended(job.job_id)

    def _state(self, job: submitit.Job[Any]) -> str:
        return self._queue.state(job.job_id)


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


def _answer(task: submitit.Job[Any], *, wait: bool) -> Complaint | None:
    """Return what one process of an ended job said.

    Args:
        task: the process.
        wait: whether to give a slow file system some seconds to show it.

    Raises:
        UncompletedJobError: nothing. FailedJobError: it ended with an error that nobody has foreseen.
    """
    limit = time.monotonic() + (_FILES_APPEAR_S if wait else 0)
    while not task.paths.result_pickle.exists():
        if time.monotonic() >= limit:
            raise UncompletedJobError
        time.sleep(0.5)
    answer: Complaint | None = task.result()
    return answer


def _children(pid: int) -> int | None:
    """Return how many children a process has; None where Linux does not tell."""
    try:
        return len(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())
    except OSError:
        return None


def _has_begun(job: submitit.Job[Any]) -> bool:
    """Whether Python has started in a job: what fails before, as a line of `cluster.setup`, fails again."""
    logs = [job.task(rank).paths.stdout for rank in range(job.num_tasks)]
    return any(_FIRST_WORDS in log.read_text(errors="replace") for log in logs if log.exists())


def _tail(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ["(it cannot be read)"]
    return lines[-_LOG_LINES:] or ["(it is empty)"]


def _slurm_executor(config: ExperimentConfig, folder: Path) -> submitit.Executor:
    cluster, training = config.cluster, config.train
    if shutil.which("srun") is None:
        raise LauncherError("there is no Slurm here (no srun on PATH): use --executor local, or start on a login node")
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=10_000)
    parameters: dict[str, Any] = {
        "job_name": config.name,
        "nodes": training.nodes,
        "ntasks_per_node": training.gpus_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "time": cluster.time,
        "signal_delay_s": cluster.signal_delay_s,
        # requeue: some sites forbid it unless a job asks for it.
        "additional_parameters": {"requeue": True, **cluster.extra},
        # A process that is lost ends the others, even where they would wait for it in a collective. From Slurm 22.05
        # on, srun does not take over the cores that sbatch was asked for.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={cluster.cpus_per_task}"],
        "setup": list(cluster.setup) or None,
        "partition": cluster.partition,
        "account": cluster.account,
        "mem": None if cluster.mem_gb is None else f"{cluster.mem_gb:g}GB",
        "gpus_per_node": training.gpus_per_node if cluster.gpus else None,
    }
    executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
    return executor


def _visible_gpus() -> list[str]:
    """Return the GPUs of this machine; submitit would hide them from local jobs."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
