"""What Slurm says of jobs, and how an interrupted one comes back into the queue."""

import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from starnet_hpc.errors import ConfigError, InterruptedRunError, LauncherError
from starnet_hpc.launch.controller import ask

_ASK_EVERY_S = 10.0
"""The queue belongs to everybody: it is not asked more often."""
_OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
         "REVOKED", "TIMEOUT")  # fmt: skip
"""States of jobs that have ended; those that Slurm is about to queue again pass through some of them."""
UNKNOWN = "unknown to Slurm"


class Queue:
    """This user's jobs, as the controller knows them; accounting (sacct) is not needed."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._asked = -float("inf")
        self._over: dict[str, int] = {}
        """How many answers in a row have had these jobs as ended."""

    def has_ended(self, job: str) -> bool:
        """Whether a job has ended for good: two answers say so, since one that is queued again may look like it once.

        A controller that does not answer says nothing of any job.
        """
        if time.monotonic() - self._asked >= _ASK_EVERY_S:
            self._ask([*self._over, job])
        self._over.setdefault(job, 0)
        return self._over[job] >= 2

    def state(self, job: str) -> str:
        """Return the last known state of a job, such as COMPLETED; UNKNOWN some minutes after its end."""
        return self._states.get(job, UNKNOWN)

    def _ask(self, jobs: Iterable[str]) -> None:
        states = states_of_jobs()
        self._asked = time.monotonic()
        if states is None:
            return
        self._states |= states  # what the controller has forgotten is remembered here
        for job in dict.fromkeys(jobs):
            self._over[job] = self._over.get(job, 0) + 1 if states.get(job, _OVER[0]) in _OVER else 0


def states_of_jobs() -> dict[str, str] | None:
    """Return the states of this user's jobs by their numbers (`12`, `12_0`), ended ones for some minutes.

    None: Slurm does not answer.
    """
    try:
        said = ask("squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T", patient=False)
    except LauncherError:
        return None
    return dict(line.split("|", 1) for line in said.splitlines() if "|" in line)


def is_alive(job: str, states: dict[str, str]) -> bool:
    """Whether a job waits, runs, or is just being ended or queued again."""
    return states.get(job, _OVER[0]) not in _OVER


def queue_again(number: int | None) -> tuple[bool | None, str]:
    """Put this process's job back into the queue if that is what its interruption means.

    Args:
        number: the signal that interrupted it.

    Returns:
        Whether the job comes back, and why, in words. None: it should, but Slurm has refused.
    """
    job = os.environ["SLURM_JOB_ID"]
    try:
        said = ask("scontrol", "--oneliner", "show", "job", job)
    except LauncherError:
        said = ""
    facts = dict(re.findall(r"(\w+)=(\S*)", said))
    if int(facts.get("Restarts", "0")) > int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        return True, "Slurm queues the job again"
    if reason := _end_is_meant(facts, number):
        return False, reason
    try:
        ask("scontrol", "requeue", job)
    except LauncherError as error:
        return None, str(error)
    return True, "the job is queued again"


@contextmanager
def queued_again(*, asked: bool) -> Iterator[None]:
    """Put this process's job back into the queue if what is done within is interrupted.

    Args:
        asked: whether to do so; of several ranks only the first one does.

    Raises:
        ConfigError: this process is in no job of Slurm.
    """
    if asked and "SLURM_JOB_ID" not in os.environ:
        raise ConfigError("--requeue is for jobs of Slurm (slurm/member.sbatch): this is none")
    try:
        yield
    except InterruptedRunError as error:
        if asked and not error.told:
            error.args = (f"{error}; {queue_again(error.signal)[1]}",)
        raise


def _end_is_meant(facts: dict[str, str], number: int | None) -> str | None:
    """Return why a job shall not come back; None if it shall.

    SIGTERM alone does not tell: Slurm sends it with `scancel`, at the time limit, and when a partition preempts (with
    GraceTime, and without `preempt_send_user_signal`). After a preemption, a job that leaves by itself before the grace
    is over has simply ended, and Slurm would not queue it again.

    Args:
        facts: what `scontrol show job` says; empty if it does not answer.
        number: the signal.
    """
    state = facts.get("JobState", "")
    preempted = facts.get("PreemptTime", "None") != "None"
    out_of_time = facts.get("Reason") == "TimeLimit" or state == "TIMEOUT"
    if preempted or out_of_time:
        return None
    if state in {"COMPLETING", "CANCELLED"}:
        return "the job was cancelled"
    return "SIGTERM asks for an end" if number == signal.SIGTERM else None
