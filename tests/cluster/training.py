"""Members that train on the test cluster, and what can happen to them; processes of all nodes are seen from here."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from starnet_hpc.config import ExperimentConfig
from tests import support
from tests.cluster.faults import PATIENCE_S, environment_of, halted, has_heard
from tests.cluster.slurm_harness import Slurm

PAIR = {"epochs": 2, "nodes": 2, "gpus_per_node": 1, "batch_size": 16}
"""Two nodes, a process on each."""


def ready(
    slurm: Slurm, run_dir: Path, *, members: int = 1, cluster: object = (), **training: object
) -> ExperimentConfig:
    """Return an experiment whose members train on two nodes of the test cluster, with a process on each."""
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
            **dict(cluster),
        },
    )


def best(config: ExperimentConfig, member: int = 0) -> Path:
    return config.member_dir(member) / "best.pt"


@dataclass(frozen=True)
class Reached:
    """Where a training stood at its last checkpoint."""

    restarts: int = -1
    """-1: there is none yet."""
    step: int = 0
    """In its epoch."""
    finished: bool = False


def reached(config: ExperimentConfig, member: int = 0) -> Reached:
    try:
        saved = torch.load(config.member_dir(member) / "last.pt", weights_only=True)["progress"]
    except (OSError, RuntimeError):
        return Reached()
    return Reached(saved["restarts"], saved["step"], saved["finished"])


@dataclass(frozen=True)
class Rank:
    """A process of a member."""

    pid: int
    number: int
    node: str


def ranks(words: str) -> list[Rank]:
    """Return the processes that train, in the order of their ranks; their command lines hold these words."""
    found = []
    for pid in support.processes(words):
        with suppress(OSError, KeyError):
            if "python" not in Path(f"/proc/{pid}/exe").resolve().name:  # srun and the shell have the words, too
                continue
            environment = environment_of(pid)
            found.append(Rank(pid, int(environment["SLURM_PROCID"]), environment["SLURMD_NODENAME"]))
    return sorted(found, key=lambda rank: rank.number)


def in_the_middle_of_an_epoch(
    config: ExperimentConfig, words: str, lives: int, act: Callable[[list[Rank]], object], *, member: int = 0
) -> None:
    """Let `act(ranks)` happen to a member in the middle of an epoch of its life number `lives`, from 0.

    The last rank is halted meanwhile, so that the others wait for it in a collective, until a signal has come to it.

    Args:
        config: with a checkpoint after every step.
        words: in the command lines of its processes.
        lives: how often it has been taken up again.
        act: what happens, and returns when Slurm has been told.
        member: which one.
    """

    def begun() -> bool:
        now = reached(config, member)
        assert not now.finished, "the training was over before anything could happen to it"
        return now.restarts == lives and now.step > 0

    support.wait_until(begun, f"the middle of an epoch in life {lives}", limit_s=PATIENCE_S)
    everyone = ranks(words)
    last = everyone[-1].pid
    with halted([last]):
        act(everyone)
        support.wait_until(lambda: has_heard(last, signal.SIGUSR2), f"a signal in life {lives}", limit_s=PATIENCE_S)
