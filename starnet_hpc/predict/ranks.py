"""MPI for prediction: ranks that form a grid, units of work along one axis, members along the other."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.agreement import agreed
from starnet_hpc.errors import StarnetError
from starnet_hpc.networks import Moments, merge
from starnet_hpc.world import announced_ranks, mpi_world

Value = TypeVar("Value")

_LAST_WORDS_S = 1.0
"""Launchers pass on what ranks say through pipes, and an abort loses what is still on its way."""
_LOCAL_RANK = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
"""Where launchers say which of a node's ranks this is: MPICH, Open MPI, srun."""


def local_rank() -> int:
    """Return which of its node's ranks this is; 0 where nobody says."""
    return next((int(os.environ[name]) for name in _LOCAL_RANK if os.environ.get(name, "").isdigit()), 0)


class Ranks:
    """This process among the ranks of a prediction; one process alone needs no MPI library."""

    def __init__(self, world: Any | None) -> None:
        self._world = world
        self.rank = world.Get_rank() if world is not None else 0
        self.size = world.Get_size() if world is not None else 1
        self.agreed: StarnetError | None = None
        """What every rank raises, so that nobody waits for anybody."""

    @property
    def first(self) -> bool:
        """Whether this rank writes joined files and talks."""
        return self.rank == 0

    def agree(self, action: Callable[[], Value]) -> Value:
        """Return `action()`, or raise on every rank the error of the first rank on which it failed."""
        try:
            return action() if self._world is None else agreed(action, self.gather, first=self.first)
        except StarnetError as error:
            self.agreed = error
            raise

    def first_does(self, action: Callable[..., None], *arguments: object) -> None:
        """Let the first rank do something; return, or raise its error, on every rank when it has ended."""
        self.agree(lambda: action(*arguments) if self.first else None)

    def gather(self, value: Value) -> list[Value]:
        """Return every rank's value, on every rank."""
        return [value] if self._world is None else cast("list[Value]", self._world.allgather(value))

    def line(self, color: int) -> "Line":
        """Return the ranks that share the members of the same units: all with the same color (< 0: none)."""
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

        Each rank fills the slots of its own members and leaves the others empty (count 0). Merging an empty slot and a
        filled one is exact: the result has the same bits however the members are dealt to ranks, and in whatever order
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

    An error that not all ranks raise ends all of them at once: the others may wait in a collective, and for ever.

    Raises:
        LauncherError: the launcher announced more ranks than this MPI library found: they belong to different MPIs.
    """
    announced, rank = announced_ranks()
    if announced <= 1:
        yield Ranks(None)
        return
    world = mpi_world(announced, rank)
    ranks = Ranks(world)
    try:
        yield ranks
    except StarnetError as error:
        if error is not ranks.agreed:
            _abort(world, f"rank {ranks.rank}: error: {error}")
        raise
    except KeyboardInterrupt:
        _abort(world, f"rank {ranks.rank}: interrupted; run the same command again to go on")
    except BaseException:
        _abort(world, traceback.format_exc())
        raise


def _abort(world: Any, last_words: str) -> None:
    """End all ranks of the job, this one included."""
    sys.stderr.write(last_words.rstrip() + "\n")
    sys.stderr.flush()
    time.sleep(_LAST_WORDS_S)
    world.Abort(1)


def _merge_buffers(ours: Any, theirs: Any, datatype: Any) -> None:
    a: NDArray[np.float64] = np.frombuffer(ours, dtype=np.float64).reshape(-1, 4)
    b: NDArray[np.float64] = np.frombuffer(theirs, dtype=np.float64).reshape(-1, 4)
    b[...] = merge(a, b)
