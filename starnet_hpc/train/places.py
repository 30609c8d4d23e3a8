"""The place of this process among those that train one member together, as torchrun, submitit or srun announce it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starnet_hpc.errors import LauncherError

_LOCAL = "127.0.0.1"
_FIRST_PORT, _PORTS = 20_000, 12_000
"""Ports below those that Linux gives to connections on their way out (from 32,768)."""


@dataclass(frozen=True)
class Place:
    """Which of the processes this one is, and where they meet."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    """Processes on this machine."""
    meeting: str = "env://"
    """Address at which the first process waits for the others; `env://`: MASTER_ADDR and MASTER_PORT name it."""
    own_gpu: bool = False
    """Each process sees one GPU and no other's."""
    cores: int = 1
    """Cores that this process may use."""


def announced_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Return this process's place; alone without a launcher.

    Raises:
        LauncherError: the variables contradict each other, or a launcher started processes that cannot find each other,
            of which each would train the member by itself.
    """
    if "WORLD_SIZE" in environment:
        return _from_torchrun(environment)
    if _number(environment, "SLURM_STEP_NUM_TASKS", 1) > 1:
        return _from_srun(environment)
    _refuse_mpiexec(environment, 1)
    return Place(cores=_share_of_cores(1))


def _from_torchrun(environment: Mapping[str, str]) -> Place:
    local_world = _number(environment, "LOCAL_WORLD_SIZE", 1)
    place = Place(
        rank=_number(environment, "RANK", 0),
        world=_number(environment, "WORLD_SIZE", 1),
        local_rank=_number(environment, "LOCAL_RANK", 0),
        local_world=local_world,
        cores=_share_of_cores(local_world),
    )
    if place.world > 1 and "MASTER_ADDR" not in environment:
        raise LauncherError("WORLD_SIZE is set but MASTER_ADDR is not: start with torchrun, submitit, srun, or alone")
    return place


def _from_srun(environment: Mapping[str, str]) -> Place:
    world = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    _refuse_mpiexec(environment, world)
    tasks = _tasks_of_nodes(environment.get("SLURM_STEP_TASKS_PER_NODE", str(world)))
    node = _number(environment, "SLURM_NODEID", 0)
    if sum(tasks) != world or node >= len(tasks):
        raise LauncherError(
            f"SLURM_STEP_TASKS_PER_NODE is {environment.get('SLURM_STEP_TASKS_PER_NODE')!r}, which does not fit node "
            f"{node} of {world} processes"
        )
    first = _LOCAL if len(tasks) == 1 else first_host(environment.get("SLURM_STEP_NODELIST", ""))
    number = _number(environment, "SLURM_JOB_ID", 0) * 17 + _number(environment, "SLURM_STEP_ID", 0)
    address = environment.get("MASTER_ADDR", first)
    port = _number(environment, "MASTER_PORT", _FIRST_PORT + number % _PORTS)
    return Place(
        rank=_number(environment, "SLURM_PROCID", 0),
        world=world,
        local_rank=_number(environment, "SLURM_LOCALID", 0),
        local_world=tasks[node],
        meeting=f"tcp://{address}:{port}",
        own_gpu="SLURM_GPUS_PER_TASK" in environment,
        # Slurm may have bound each process to cores of its own, or left it all those of the job: only it knows.
        cores=_number(environment, "SLURM_CPUS_PER_TASK", _share_of_cores(tasks[node])),
    )


def first_host(nodes: str) -> str:
    """Return the first host of a list as Slurm writes it: `a1` of `a[1-3,7],b2`.

    Raises:
        LauncherError: there is none.
    """
    first = re.match(r"(?:[^,\[]+|\[[^\]]*\])+", nodes)
    if first is None:
        raise LauncherError(f"SLURM_STEP_NODELIST is {nodes!r}, expected names of nodes")
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0])


def _tasks_of_nodes(text: str) -> list[int]:
    """Return the number of processes of each node: [2, 2, 1] of `2(x2),1`."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(tasks) for tasks, times in found for _ in range(int(times or 1))]


def _share_of_cores(processes: int) -> int:
    """Return the cores of each of so many processes on this machine."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def _refuse_mpiexec(environment: Mapping[str, str], known: int) -> None:
    """Refuse to be one of several processes that mpiexec started: nothing tells them how to meet."""
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):  # `srun --mpi=pmi2` sets the first, too
        if _number(environment, name, known) != known:
            raise LauncherError(
                f"{name} says that {environment[name]} processes were started, but not by a launcher that tells them "
                f"where to meet: use `starnet-hpc ensemble CONFIG`, `srun`, or `torchrun -m starnet_hpc.train CONFIG`"
            )


def _number(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable, str(default))
    try:
        return int(text)
    except ValueError:
        raise LauncherError(f"the environment variable {variable} is {text!r}, expected a whole number") from None
