"""Tasks for `parallel.each`, importable by worker processes."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc import parallel


def square(key: int) -> int:
    return key * key


def who(key: int) -> int:
    return os.getpid()


def whose_child(key: int) -> tuple[int, int]:
    """Return who started this process, and its own number."""
    return os.getppid(), os.getpid()


@dataclass(frozen=True)
class Refusing:
    """Fails at one key."""

    bad: int

    def __call__(self, key: int) -> int:
        if key == self.bad:
            raise LookupError(f"key {key} is not for me")
        return key


@dataclass(frozen=True)
class Fragile:
    """Its worker is killed while it works on one key, the first time or every time."""

    bad: int
    notes: Path
    always: bool = False

    def __call__(self, key: int) -> int:
        with (self.notes / str(key)).open("a") as note:
            note.write("begun\n")
        if key == self.bad and (self.always or (self.notes / str(key)).read_text() == "begun\n"):
            os.kill(os.getpid(), signal.SIGKILL)
        return key


@dataclass(frozen=True)
class _Lost:
    """A result that kills the worker as it is sent, the first time; the name of its note arrives."""

    note: Path

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        if not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str, (self.note.name,)


def lost_once(note: Path) -> _Lost:
    return _Lost(note)


@dataclass(frozen=True)
class Waiting:
    """Notes that it has begun, and goes on when it is let."""

    notes: Path

    def __call__(self, key: int) -> int:
        (self.notes / f"begun-{key}").touch()
        with (self.notes / "gate").open() as gate:  # a FIFO: opens when the test opens its other end
            gate.read()
        (self.notes / f"done-{key}").touch()
        return key


_together = threading.Barrier(2)


def compute_then_write_together(key: int) -> int:
    """Return a key once two tasks of this process write at the same time, having computed one after the other."""
    with parallel.computing():
        pass
    _together.wait(timeout=30)
    return key


@dataclass(frozen=True)
class Lasting:
    """Takes some time."""

    seconds: float

    def __call__(self, key: int) -> int:
        time.sleep(self.seconds)
        return key


@dataclass(frozen=True)
class Circumstances:
    """Under which a worker process runs."""

    threads: tuple[str, str, int]
    """What BLAS and OpenMP were told before it began, and how many Numba would take."""
    trim_threshold: int
    memory_share: float
    """Of the machine's memory."""
    pauses: object
    spills: object


def circumstances(key: int) -> Circumstances:
    import numba
    from dask.distributed import get_worker
    from distributed.system import MEMORY_LIMIT

    manager = get_worker().memory_manager
    return Circumstances(
        (os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"], numba.config.NUMBA_NUM_THREADS),
        int(os.environ["MALLOC_TRIM_THRESHOLD_"]),
        (manager.memory_limit or 0) / MEMORY_LIMIT,
        manager.memory_pause_fraction,
        manager.memory_spill_fraction,
    )
