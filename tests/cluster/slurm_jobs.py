"""What the tests run inside Slurm jobs.

submitit pickles a function of a module as a reference to it, so a job must be able to import that module. Here that is
sure: `Slurm.environment` and `Slurm.submitit_parameters` put the project's folder on the PYTHONPATH of jobs. Test
modules need not be importable outside pytest. Heavy imports are inside the functions that need them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from submitit.core.utils import DelayedSubmission
from submitit.helpers import Checkpointable, TorchDistributedEnvironment

WAIT_LIMIT_S = 60.0  # for an interruption that a test has promised


@dataclass(frozen=True)
class Rank:
    """What one process of a distributed job saw."""

    rank: int
    world_size: int
    hostname: str
    node: str
    total: float


def sum_of_ranks_plus_one() -> Rank:
    """Add up rank + 1 over all processes of the job with an all_reduce of torch.distributed."""
    import torch
    import torch.distributed

    TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    value = torch.tensor(float(rank + 1))
    torch.distributed.all_reduce(value)
    seen = Rank(
        rank=rank,
        world_size=torch.distributed.get_world_size(),
        hostname=socket.gethostname(),
        node=os.environ["SLURMD_NODENAME"],
        total=value.item(),
    )
    torch.distributed.destroy_process_group()
    return seen


def square(number: int) -> int:
    """Square a number."""
    return number * number


def count_lives(record: Path) -> list[str]:
    """Add a line to `record`; the first life then waits to be ended, the second returns all lines."""
    with record.open("a") as file:
        file.write(f"restart {os.environ.get('SLURM_RESTART_COUNT', '0')}\n")
    lines = record.read_text().splitlines()
    if len(lines) == 1:
        wait_for_the_end()
    return lines


@dataclass
class Work(Checkpointable):
    """A job that waits in its first life until it is evicted, and goes on with what it knew then in the second."""

    begun: Path
    lives: int = 1

    def __call__(self) -> int:
        """Add to `begun` a file for this rank, wait in the first life, return the number of lives in the second."""
        (self.begun / os.environ["SLURM_PROCID"]).touch()
        if self.lives == 1:
            wait_for_the_end()
        return self.lives

    def checkpoint(self) -> DelayedSubmission:
        """Hand on the state to the next life; submitit calls this on rank 0, in the handler of the signal."""
        return DelayedSubmission(Work(self.begun, self.lives + 1))


def wait_for_the_end() -> None:
    """Wait until something ends the process, and raise if nothing does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it, and Slurm would kill only five seconds later
    limit = time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < limit:
        time.sleep(0.2)
    raise TimeoutError(f"nothing ended this job within {WAIT_LIMIT_S} s")


@dataclass(frozen=True)
class TwiceLost:
    """A task whose worker is killed while it works; and then the job of the one that goes on is cancelled."""

    folder: Path

    def __call__(self, key: int) -> str:
        """Return the number of the job."""
        job = os.environ["SLURM_JOB_ID"]
        if self.is_first("killed", job):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.is_first("cancelled", job):
            subprocess.run(["scancel", job], check=True)
        if (self.folder / "cancelled").read_text() in {"", job}:
            wait_for_the_end()
        return job

    def is_first(self, name: str, job: str) -> bool:
        """Whether nobody has left a note of this name yet; this one then has."""
        with suppress(FileExistsError), (self.folder / name).open("x") as note:
            note.write(job)
            return True
        return False
