"""Workers as the pool sees them, whichever kind of scheduler they have."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dask.distributed import Client

from starnet_hpc.errors import LauncherError

THREADS = 2
"""Of a worker, which has one core: a shard goes to the disk while the next one is made (`pool.computing`)."""


def no_care(workers: int) -> None:
    """Do nothing: these workers are looked after by Dask itself."""


@dataclass(frozen=True)
class Crew:
    """Workers of one scheduler."""

    client: Client
    care: Callable[[int], None] = no_care
    """Called every second or so with the number of workers; replaces those that are lost, or raises LauncherError."""


class Patience:
    """Waits for workers for a limited time; that some have come sets it back."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._since = clock()

    def test(self, workers: int, complaint: Callable[[], str]) -> None:
        """Raise LauncherError with the complaint if there has been no worker for too long."""
        if workers:
            self._since = self._clock()
        elif self._clock() - self._since > self._limit_s:
            raise LauncherError(complaint())
