"""MPI's only door: ranks that form a grid, units of work along one axis, members along the other."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import LauncherError, StarnetError
from starnet_hpc.networks import Moments, merge

Value = TypeVar("Value")

_ANNOUNCED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Where launchers say how many ranks they start: MPICH and srun --mpi=pmi2, Open MPI, any srun."""


class Ranks:
    """This process among the ranks of a prediction; one process alone needs no MPI library."""

    def __init__(self, world: Any | None) -> None:
        self._world = world
        self.rank = world.Get_rank() if world is not None else 0
        self.size = world.Get_size() if world is not None else 1

    @property
    def first(self) -> bool:
        """Whether this rank writes joined files and talks."""
        return self.rank == 0

    def agree(self, action: Callable[[], Value]) -> Value:
        """Return `action()`, or raise on every rank the error of the first rank on which it failed."""
        error: StarnetError | None = None
        result: Any = None
        try:
            result = action()
        except StarnetError as caught:
            error = caught
        if self._world is None:
            if error:
                raise error
            return result
        errors = [e for e in self._world.allgather(error) if e is not None]
        if errors:
            errors[0].told = not self.first
            raise errors[0]
        return result

    def gather(self, value: Value) -> list[Value]:
        """Return every rank's value, on every rank."""
        return [value] if self._world is None else self._world.allgather(value)

    def line(self, color: int) -> "Line":
        """Return the ranks that share the members of the same units: those that pass the same color (< 0: none)."""
        if self._world is None:
            return Line(None)
        from mpi4py import MPI

        return Line(self._world.Split(color if color >= 0 else MPI.UNDEFINED, self.rank))


class Line:
    """The ranks along the member axis: each has predictions of its own members for the same rows."""

    def __init__(self, comm: Any | None) -> None:
        self._comm = comm

    def failed(self, here: bool) -> bool:
        """Return whether something failed on any rank of the line."""
        return here if self._comm is None else bool(self._comm.allreduce(int(here)))

    def reduce(self, slots: Moments) -> Moments | None:
        """Return the moments of all members [members, rows, labels, 4] on the line's first rank, None elsewhere.

        Each rank fills the slots of its own members and leaves the others empty (count 0). Merging an empty slot with a
        filled one is exact, so the result has the same bits however the members are dealt to ranks and in whatever order
        MPI reduces; the fold over members comes afterwards, in their order.
        """
        if self._comm is None or self._comm.Get_size() == 1:
            return slots
        from mpi4py import MPI

        out = np.empty_like(slots)
        quad = MPI.DOUBLE.Create_contiguous(4).Commit()
        operation = MPI.Op.Create(_merge_buffers, commute=True)
        try:
            count = slots.size // 4
            self._comm.Reduce([slots, count, quad], [out, count, quad], op=operation, root=0)
        finally:
            operation.Free()
            quad.Free()
        return out if self._comm.Get_rank() == 0 else None


@contextmanager
def started_ranks() -> Iterator[Ranks]:
    """Give the ranks that mpiexec or srun started; alone without them.

    Raises:
        LauncherError: the launcher announced more ranks than this MPI library found: they belong to different MPIs.
    """
    announced = next((int(os.environ[name]) for name in _ANNOUNCED if os.environ.get(name, "").isdigit()), 1)
    if announced <= 1:
        yield Ranks(None)
        return
    world = _world(announced)
    try:
        yield Ranks(world)
    except StarnetError:
        raise
    except BaseException:
        # The others may be waiting in a collective: without an abort they would wait for ever.
        traceback.print_exc()
        sys.stderr.flush()
        world.Abort(1)


def _world(announced: int) -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise LauncherError(
            f"the launcher started {announced} ranks, but MPI cannot be loaded ({error}); install an MPI library "
            f"(`pip install mpich`, or the cluster's module), or start one process"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() != announced:
        vendor, version = MPI.get_vendor()
        raise LauncherError(
            f"{announced} ranks were asked for, but each of them is alone: the launcher does not belong to the MPI "
            f"library that Python loads ({vendor} {'.'.join(map(str, version))}); use that library's mpiexec, or "
            f"`srun --mpi=pmi2` for MPICH and `srun --mpi=pmix` for Open MPI"
        )
    return world


def _merge_buffers(ours: Any, theirs: Any, datatype: Any) -> None:
    a: NDArray[np.float64] = np.frombuffer(ours, dtype=np.float64).reshape(-1, 4)
    b: NDArray[np.float64] = np.frombuffer(theirs, dtype=np.float64).reshape(-1, 4)
    b[...] = merge(a, b)
