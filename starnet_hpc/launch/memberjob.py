"""What runs in a job: one member's training. It imports little, so that a job heeds signals soon after its start."""

import os
from dataclasses import dataclass
from typing import Any, NoReturn

import submitit
from submitit.helpers import TorchDistributedEnvironment

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import InterruptedRunError, LauncherError, StarnetError
from starnet_hpc.launch.slurm import queue_again


@dataclass(frozen=True)
class Complaint:
    """Why a job's process did not train its member."""

    words: str
    lost: bool
    """Whether it lost its companions or its place on the cluster: then nothing is wrong with what it was asked for."""


@dataclass(frozen=True)
class MemberJob:
    """Trains one member inside a job; importable, so that submitit can pickle it by name."""

    config: ExperimentConfig
    member: int
    gpus: str | None = None
    """What CUDA_VISIBLE_DEVICES shall be; None leaves it as the scheduler set it."""

    def __call__(self) -> Complaint | None:
        """Return None if the member is trained."""
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        # Only here: until torch is imported, which takes long on many clusters, submitit heeds signals for us.
        from starnet_hpc.train import train

        on_slurm = submitit.JobEnvironment().cluster == "slurm"
        if not on_slurm:
            _announce_ranks()
        try:
            train(self.config, self.member)
        except InterruptedRunError as error:
            return _interrupted(error) if on_slurm else Complaint(str(error), lost=False)
        except LauncherError as error:
            if on_slurm:  # Slurm itself queues the job again if a machine was lost
                _leave(str(error))
            return Complaint(str(error), lost=True)
        except StarnetError as error:
            return Complaint(str(error), lost=False)
        return None

    def checkpoint(self) -> Any:
        """Return what submitit submits again if a signal comes before training has begun."""
        return submitit.helpers.DelayedSubmission(self)


def _interrupted(error: InterruptedRunError) -> Complaint:
    """Put the job back into the queue and leave, or complain if it has to end.

    submitit's own handler would checkpoint inside the signal handler of one rank, while the others wait for it in a
    collective. In `train` all ranks have stopped together and saved.
    """
    if submitit.JobEnvironment().global_rank > 0:  # to fail before the first has queued the job might end the first
        raise SystemExit(0)
    returns, words = queue_again(error.signal)
    if returns:
        _leave(f"{error}; {words}")
    return Complaint(f"{error}; {words}", lost=returns is None)


def _leave(words: str) -> NoReturn:
    """End this process without an answer: whoever waits for the job goes on waiting if it comes back."""
    raise SystemExit(words)


def _announce_ranks() -> None:
    """Tell torch.distributed, through the environment, which tasks submitit has started on this machine."""
    if submitit.JobEnvironment().num_tasks == 1:
        return
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    os.environ["MASTER_ADDR"] = "127.0.0.1"  # a laptop's own name often resolves to nothing
