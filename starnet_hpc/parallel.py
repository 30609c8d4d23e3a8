"""Dask's only door: the same pure task for many keys, on one process, one machine or a cluster."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from dask.distributed import Client, Future, LocalCluster, as_completed

from starnet_hpc.errors import LauncherError

Key = TypeVar("Key")
Result = TypeVar("Result")

_IN_FLIGHT = 2
"""Tasks a worker has waiting at a time; the scheduler's memory stays the same however many keys there are."""


def available_cores() -> int:
    """Return the number of cores this process may use (a batch job's share, not the machine's)."""
    return len(os.sched_getaffinity(0))


def each(
    task: Callable[[Key], Result],
    keys: Sequence[Key],
    *,
    workers: int | None = None,
    scheduler: str = "local",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Key, Result]]:
    """Yield `(key, task(key))` as tasks finish, in no particular order.

    Args:
        task: picklable; an exception in it stops everything and is raised here as it is.
        keys: what to call it with.
        workers: processes on this machine; None takes one for each core. One worker is this process, without Dask.
        scheduler: `local`, or the address of a running Dask scheduler.
        stop: asked before each task is started; once it is true, what runs is finished and nothing more begins.

    Raises:
        LauncherError: the scheduler cannot be reached.
    """
    count = min(workers or available_cores(), max(len(keys), 1))
    if scheduler == "local" and count == 1:
        for key in keys:
            if stop():
                return
            yield key, task(key)
        return
    with _client(count, scheduler) as client:
        waiting = iter(keys)
        key_of: dict[Future, Key] = {}

        def submit(number: int) -> list[Future]:
            chosen = list(islice(waiting, number))
            futures = [client.submit(task, key, pure=False) for key in chosen]
            key_of.update(zip(futures, chosen, strict=True))
            return futures

        running = as_completed(submit(_IN_FLIGHT * max(len(client.nthreads()), 1)))
        for future in running:
            key, result = key_of.pop(future), future.result()
            future.release()
            if not stop():
                running.update(submit(1))
            yield key, result


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Client]:
    if scheduler != "local":
        try:
            remote = Client(scheduler, timeout="30s")
        except (OSError, ValueError) as error:
            raise LauncherError(f"augment.scheduler: no Dask scheduler answers at {scheduler} ({error})") from None
        with remote:
            yield remote
        return
    # One process a core and one thread a process: kernels are single-threaded, so nothing is oversubscribed.
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.ERROR
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
