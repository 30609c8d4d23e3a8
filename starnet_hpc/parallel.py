"""Dask's only door: the same pure task for many keys, on one process, one machine or a cluster."""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import dask.config
from dask.distributed import Client, Future, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from starnet_hpc.errors import LauncherError
from starnet_hpc.interrupts import STOP_SIGNALS

Key = TypeVar("Key")
Result = TypeVar("Result")

_CONNECT_S = 30
"""A scheduler that has not answered by then is not there."""
_FIRST_WORKER_S = 600
"""Workers of a scheduler that runs already may still be in a batch system's queue for this long."""
_SILENT = logging.CRITICAL + 1
"""Dask tells of each failed task and lost worker on stderr; what the user has to know of them is raised here."""

_WORKER_ENVIRONMENT = {
    # Dask has its workers give memory back in pieces of 64 KB. The arrays of each spectrum then come as fresh pages
    # from the system, which takes two to three times as long as the kernels themselves.
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    # `silence_logs` ends a moment before the worker does.
    "DASK_LOGGING__DISTRIBUTED": "critical",
}


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
        task: picklable; an exception in it stops everything and is raised here as it is. If its worker is lost it is
            called again on another one.
        keys: what to call it with.
        workers: processes on this machine; None takes one for each core. One worker is this process, without Dask.
        scheduler: `local`, or the address of a running Dask scheduler.
        stop: asked before each task is started; once it is true, what runs is finished and nothing more begins.

    Raises:
        LauncherError: the scheduler cannot be reached or went away, it has no workers, or they die of a task.
    """
    count = min(workers or available_cores(), len(keys))
    if count == 0 or stop():
        return
    if scheduler == "local" and count == 1:
        for key in keys:
            if stop():
                return
            yield key, task(key)
        return
    with _quiet(), _client(count, scheduler) as client:
        yield from _on_workers(client, task, keys, stop)


def _on_workers(
    client: Client, task: Callable[[Key], Result], keys: Sequence[Key], stop: Callable[[], bool]
) -> Iterator[tuple[Key, Result]]:
    """Yield results, with one task a worker thread under way.

    None is queued, so that the scheduler's memory stays the same however many keys there are, and a stop need not wait
    for tasks that have not begun.
    """
    waiting = iter(keys)
    key_of: dict[Future[Any], Key] = {}
    running = as_completed()

    def fill() -> None:
        room = max(sum(client.nthreads().values()), 1) - len(key_of)  # workers come and go
        for key in islice(waiting, max(room, 0)):
            future = client.submit(task, key, pure=False)
            key_of[future] = key
            running.add(future)

    fill()
    for future in running:
        key, result = key_of.pop(future), _result(future)
        future.release()
        if not stop():
            fill()
        yield key, result


def _result(future: "Future[Any]") -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        host = error.last_worker.address.partition("://")[2].rpartition(":")[0]
        raise LauncherError(
            f"the same piece of work ended {error.allowed_failures + 1} worker processes, the last one on {host}; "
            f"mostly memory has run out: take fewer augment.workers or a smaller shard_rows, or ask the job for more "
            f"memory, then run the same command again to go on"
        ) from None
    except FutureCancelledError:
        raise LauncherError(
            "the Dask scheduler went away before the work was done; run the same command again to go on"
        ) from None


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Client]:
    if scheduler != "local":
        try:
            remote = _started(lambda: Client(scheduler, timeout=_CONNECT_S))
        except (OSError, ValueError) as error:
            raise LauncherError(f"augment.scheduler: no Dask scheduler answers at {scheduler} ({error})") from None
        with remote:
            try:
                remote.wait_for_workers(1, timeout=_FIRST_WORKER_S)
            except TimeoutError:
                raise LauncherError(
                    f"augment.scheduler: the Dask scheduler at {scheduler} has had no worker for {_FIRST_WORKER_S} s; "
                    f"start some with `dask worker {scheduler}`"
                ) from None
            yield remote
        return
    with _local_cluster(workers) as cluster, _started(lambda: Client(cluster)) as client:
        yield client


def _started(make: Callable[[], Result]) -> Result:
    """Return what Dask makes, with a second try: it gives its own thread ten seconds to start, by an assertion.

    A machine that stalls once (memory being reclaimed, a shared file system) needs longer, and is not broken.
    """
    try:
        return make()
    except AssertionError:
        return make()


@contextmanager
def _local_cluster(workers: int) -> Iterator[LocalCluster]:
    # Signals for a whole process group (Ctrl-C, scancel) are this process's to answer: threads and processes that are
    # made while they are blocked never see them, so that workers finish their shards.
    signals = {*STOP_SIGNALS, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    environment = dict(os.environ)
    try:
        resource_tracker.ensure_running()  # a process of multiprocessing's, whose start lets two of the signals through
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        with dask.config.set(
            {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in _WORKER_ENVIRONMENT.items()}
        ):
            cluster = _started(
                lambda: LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,  # kernels have one thread: one process a core, and nothing is oversubscribed
                    processes=True,
                    dashboard_address="127.0.0.1:0",  # None would fight for port 8787 all the same
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=_SILENT,
                    memory_limit=0,  # one shard bounds a worker's memory; Dask's share of a large machine may be less
                )
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield cluster
    finally:
        # Closing fails on a worker that is just being started again. It ends with this process, and the error that has
        # brought us here must not be lost.
        with suppress(AssertionError, OSError):
            cluster.close()
        # Dask leaves its workers' environment in ours, and networks would then train with one thread.
        os.environ.clear()
        os.environ.update(environment)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(_SILENT)
    try:
        yield
    finally:
        logger.setLevel(before)
