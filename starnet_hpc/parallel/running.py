"""Workers of a Dask scheduler that somebody else has started: by its address, or by the file in which it wrote it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dask.distributed import Client

from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel.conditions import started
from starnet_hpc.parallel.crew import Crew, Patience

_CONNECT_S = 30
"""A scheduler that has not answered by then is not there."""
_NO_WORKER_S = 600
"""Workers may be in a batch system's queue for this long."""
_LOOK_AGAIN_S = 0.2


@contextmanager
def running_crew(scheduler: str, stop: Callable[[], bool]) -> Iterator[Crew]:
    """Connect to the scheduler at an address, or in a file (`dask scheduler --scheduler-file`).

    Raises:
        LauncherError: nobody answers there; later, it has no workers.
    """
    address = _address_in(Path(scheduler), stop) if scheduler.endswith(".json") else scheduler
    try:
        client = started(lambda: Client(address, timeout=_CONNECT_S))
    except (OSError, ValueError, TypeError) as error:
        raise LauncherError(f"augment.scheduler: no Dask scheduler answers at {address} ({error})") from None
    patience = Patience(_NO_WORKER_S)

    def care(workers: int) -> None:
        patience.test(
            workers,
            lambda: (
                f"augment.scheduler: the Dask scheduler at {address} has had no worker for {_NO_WORKER_S} s; "
                f"start some with `dask worker {address}`"
            ),
        )

    with client:
        yield Crew(client, care)


def _address_in(file: Path, stop: Callable[[], bool]) -> str:
    """Return the address in a scheduler's file, which may still be about to write it."""
    end = time.monotonic() + _CONNECT_S
    while True:
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > end or stop():
                raise LauncherError(
                    f"augment.scheduler: {file} has no address of a Dask scheduler ({type(error).__name__}: {error}); "
                    f"start one with `dask scheduler --scheduler-file {file}`"
                ) from None
        time.sleep(_LOOK_AGAIN_S)
