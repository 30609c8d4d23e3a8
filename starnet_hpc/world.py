"""The ranks that mpiexec or srun started, as far as everybody needs to know: how many, which, and MPI's world."""

import os
from importlib import metadata
from typing import Any

from starnet_hpc.errors import LauncherError

_ANNOUNCED = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
"""Where launchers say how many ranks they start and which this is: MPICH and srun --mpi=pmi2, Open MPI, any srun."""


def announced_ranks() -> tuple[int, int]:
    """Return how many ranks the launcher says it started, and which of them this is; (1, 0) without a launcher."""
    for size, rank in _ANNOUNCED:
        if os.environ.get(size, "").isdigit():
            number = os.environ.get(rank, "")
            return int(os.environ[size]), int(number) if number.isdigit() else 0
    return 1, 0


def mpi_world(announced: int, rank: int) -> Any:
    """Return MPI's world.

    Raises:
        LauncherError: on every rank, since none can reach the others; only the first tells of it.
    """
    problem = None
    settle_wheel()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        problem = (
            f"the launcher started {announced} ranks, but MPI cannot be loaded ({error}); install an MPI library "
            f"(`pip install mpich`, or the cluster's module), or start one process"
        )
    else:
        if MPI.COMM_WORLD.Get_size() == announced:
            return MPI.COMM_WORLD
        vendor, version = MPI.get_vendor()
        problem = (
            f"{announced} ranks were asked for, but each of them is alone: the launcher does not belong to the MPI "
            f"library that Python loads ({vendor} {'.'.join(map(str, version))}); use that library's mpiexec, or "
            f"`srun --mpi=pmi2` for MPICH and `srun --mpi=pmix` for Open MPI"
        )
    mismatch = LauncherError(problem)
    mismatch.told = rank != 0
    raise mismatch


def settle_wheel() -> None:
    """Let the MPICH of the wheel talk through OFI in a Slurm job, unless the user has chosen; before MPI is imported.

    With UCX, MPICH 5.0 fills the unused part of its addresses with whatever the memory holds. From a process that has
    imported much these cannot be packed, and Slurm's PMI-2 cuts the longer messages in two: ranks die at their start.
    """
    if "SLURM_JOB_ID" in os.environ and any(metadata.distributions(name="mpich")):
        os.environ.setdefault("MPIR_CVAR_CH4_NETMOD", "ofi")
