"""Slurm's controller: it is asked with patience, and told everything once."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc.errors import LauncherError

_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Between one try and the next: a controller that is restarted is back within a minute."""
_ANSWER_LIMIT_S = 60
_TRANSIENT = re.compile(
    r"socket timed out|unable to contact|connection (refused|reset|timed out)|temporarily|try again|zero bytes were "
    r"transmitted|transport endpoint|message (send|receive) failure|standby mode|timeout|timed out|too many open files",
    re.IGNORECASE,
)
"""What Slurm says of itself when it is busy, in transition or out of reach, and not of what it was asked."""
_TIMED_OUT = "no answer within {:g} s"
NEVER = "DependencyNeverSatisfied"
"""Reason of a job that waits for one that has failed."""
OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT")  # fmt: skip
"""States of jobs that have ended."""


@dataclass(frozen=True)
class JobState:
    """What Slurm knows of a job."""

    state: str
    """As Slurm names it; `unknown` where nobody knows the job any more."""
    reason: str = ""
    """Why it waits or has failed; empty where there is none."""
    nodes: str = ""

    @property
    def alive(self) -> bool:
        """Whether it waits, runs, or is just being ended or queued again; not what waits for ever."""
        return self.state != "unknown" and self.state.split()[0] not in OVER and self.reason != NEVER


UNKNOWN_JOB = JobState("unknown")


def ask(*command: str, patient: bool = True, transient: Callable[[str], object] = _TRANSIENT.search) -> str:
    """Return what a command of Slurm prints; one that fails for a reason that passes is tried again, ever later.

    Args:
        command: and its arguments.
        patient: whether to try again.
        transient: whether a message on standard error tells of such a reason.

    Raises:
        LauncherError: with Slurm's words.
    """
    words = ""
    for wait in (*(_WAITS_S if patient else ()), None):
        code, output, words = _tried(command)
        if code == 0:
            return output
        if wait is None or not transient(words):
            break
        time.sleep(wait)
    tries = f" ({1 + len(_WAITS_S)} times)" if patient and transient(words) else ""
    raise LauncherError(f"`{command[0]}` fails{tries}: {words or 'it says nothing'}")


def states(jobs: Iterable[str], *, patient: bool = True) -> dict[str, JobState]:
    """Return what is known of jobs by their numbers (`12`, `12_0`); ended ones are looked for in accounting.

    Raises:
        LauncherError: the controller does not answer.
    """
    wanted = list(dict.fromkeys(jobs))
    if not wanted:
        return {}
    found = queue(patient=patient)
    missing = [job for job in wanted if job not in found]
    return dict.fromkeys(wanted, UNKNOWN_JOB) | _accounted(missing) | {j: found[j] for j in wanted if j in found}


def queue(*, patient: bool = True) -> dict[str, JobState]:
    """Return this user's jobs as the controller knows them, ended ones for some minutes.

    Raises:
        LauncherError: the controller does not answer.
    """
    said = ask(
        "squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r|%N",
        patient=patient, transient=lambda _: True,  # it was asked nothing that could be wrong
    )  # fmt: skip
    rows = (line.split("|") for line in said.splitlines())
    return {row[0]: JobState(row[1], "" if row[2] == "None" else row[2], row[3]) for row in rows if len(row) == 4}


def submit(script: Path, token: str, *options: str) -> str:
    """Submit a script once, however often sbatch has to be called; return the number of its job.

    A call that timed out may have submitted it nevertheless: jobs are looked for by their comment before another try.

    Args:
        script: with its own options.
        token: the comment; no other job of the user may have it.
        options: further options.

    Raises:
        LauncherError: Slurm refuses it, in its words.
    """
    command = ("sbatch", "--parsable", f"--comment={token}", *options, str(script))
    words = ""
    for number, wait in enumerate((0.0, *_WAITS_S)):
        if number:
            time.sleep(wait)
            if (job := submitted_as(token)) is not None:
                return job
        code, output, words = _tried(command)
        if code == 0:
            return output.strip().split(";")[0]  # behind a semicolon: the cluster's name
        if not _TRANSIENT.search(words):
            break
    raise LauncherError(f"sbatch refuses {script}: {words or 'it says nothing'}; check the section `cluster`")


def submitted_as(token: str) -> str | None:
    """Return the number of the job with this comment; None if there is none.

    Raises:
        LauncherError: the controller does not answer.
    """
    said = ask("squeue", "--me", "--noheader", "--states=all", "--format=%F|%k", transient=lambda _: True)
    jobs = [line.partition("|")[0] for line in said.splitlines() if line.partition("|")[2] == token]
    return jobs[0] if jobs else None


def cancel(jobs: Iterable[str]) -> None:
    """End jobs; those that have ended by themselves meanwhile do not matter.

    Raises:
        LauncherError: the controller does not answer.
    """
    if numbers := list(jobs):
        ask("scancel", "--quiet", *numbers)


def is_here() -> bool:
    """Whether this machine has the commands of Slurm."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def _accounted(jobs: list[str]) -> dict[str, JobState]:
    if not jobs or shutil.which("sacct") is None:
        return {}
    asked = [word for job in jobs for word in ("-j", job)]
    code, said, _ = _tried(("sacct", "-o", "JobID,State,NodeList", "--parsable2", *asked))
    if code:
        return {}
    rows = [line.split("|") for line in said.splitlines()[1:]]
    # `CANCELLED by 1000`; steps (12.batch) are left out.
    return {row[0]: JobState(row[1].split()[0], "", row[2]) for row in rows if len(row) == 3 and row[0] in jobs}


def _tried(command: tuple[str, ...]) -> tuple[int, str, str]:
    """Return exit code, output and error message of a command.

    Raises:
        LauncherError: there is no such command.
    """
    try:
        done = subprocess.run(command, check=False, timeout=_ANSWER_LIMIT_S, capture_output=True, text=True)
    except FileNotFoundError:
        raise LauncherError(
            f"there is no Slurm here (no {command[0]} on PATH): use --executor local, or start on a login node"
        ) from None
    except subprocess.TimeoutExpired:
        return 1, "", _TIMED_OUT.format(_ANSWER_LIMIT_S) + ", timed out"
    except OSError as error:
        return 1, "", str(error)
    return done.returncode, done.stdout, "; ".join(filter(None, map(str.strip, done.stderr.splitlines())))
