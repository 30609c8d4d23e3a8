"""The loop that hands pieces of work to workers, the same whichever kind of scheduler they have.

Dask is imported when there are to be workers: it takes as long as hundreds of spectra.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel.conditions import dask_told
from starnet_hpc.parallel.forking import begin_forking

if TYPE_CHECKING:
    from dask.distributed import Client, Future

    from starnet_hpc.parallel.crew import Crew

Key = TypeVar("Key")
Result = TypeVar("Result")

_LOOK_S = 1.0
"""Where no task has finished for this long, workers that came or went are looked for."""

_FETCH_S = 5.0
"""A result that has not come by then may be lost with its worker, and wait for another one to make it again."""

_core = threading.Lock()
"""Of this process, if it is a worker."""


def available_cores() -> int:
    """Return the number of cores this process may use (a batch job's share, not the machine's)."""
    return len(os.sched_getaffinity(0))


@contextmanager
def computing() -> Iterator[None]:
    """Hold this worker's core: of the two tasks that it has, one computes while the other reads or writes.

    Tasks do so themselves, since they know what of them is which; what they do outside must be fit for threads.
    """
    with _core:
        yield


def expect_workers(config: ExperimentConfig, *, tasks: int, module: str) -> None:
    """Say early that there will be `workers`, so that their imports are under way while this process has other things.

    Args:
        config: of the experiment.
        tasks: pieces of work there are at most.
        module: where the task is defined.
    """
    if config.augment.scheduler == "local" and _count(config, tasks) > 1:
        begin_forking([module])


@contextmanager
def workers(
    config: ExperimentConfig, *, tasks: int, worth: int | None = None, stop: Callable[[], bool] = lambda: False
) -> Iterator["Pool"]:
    """Give the workers that `augment.scheduler` and `augment.workers` ask for; they start with the first task.

    Args:
        config: of the experiment.
        tasks: pieces of work there are at most; there will be no more workers than that.
        worth: how many workers are worth their start on this machine where the user does not say how many.
        stop: asked before each task is started; once it is true, what runs is finished and nothing more begins.
    """
    with ExitStack() as stack:
        yield Pool(config, tasks, worth, stop, stack)


class Pool:
    """Workers that start when there is something to do, and stay for what comes after it."""

    def __init__(
        self, config: ExperimentConfig, tasks: int, worth: int | None, stop: Callable[[], bool], stack: ExitStack
    ) -> None:
        self._config, self._tasks, self._worth, self._stop, self._stack = config, tasks, worth, stop, stack
        self._crew: Crew | None = None

    def each(self, task: Callable[[Key], Result], keys: Iterable[Key]) -> Iterator[tuple[Key, Result]]:
        """Yield `(key, task(key))` as tasks finish, in no particular order.

        Args:
            task: picklable; an exception in it stops everything and is raised here as it is. If its worker is lost it
                is called again on another one.
            keys: what to call it with; each is taken only when a worker is free for it.

        Raises:
            LauncherError: there is no scheduler or no worker, they went away, or workers die of a task.
        """
        waiting = iter(keys)
        first = [] if self._stop() else list(islice(waiting, 1))
        if not first:
            return
        waiting = chain(first, waiting)
        count = _count(self._config, self._tasks, self._worth)
        if self._config.augment.scheduler == "local" and count == 1:
            for key in waiting:
                if self._stop():
                    return
                yield key, task(key)
            return
        if self._crew is None:
            self._stack.enter_context(dask_told())
            self._crew = self._stack.enter_context(self._open(count, task.__module__))
        yield from on_workers(self._crew, task, waiting, self._stop)

    def _open(self, count: int, module: str) -> "AbstractContextManager[Crew]":
        """Return the workers; each kind of scheduler is imported by those who ask for it."""
        scheduler = self._config.augment.scheduler
        if scheduler == "local":
            from starnet_hpc.parallel.local import local_crew

            return local_crew(count, module)
        if scheduler == "slurm":
            from starnet_hpc.parallel.slurm import slurm_crew

            return slurm_crew(self._config, count)
        if scheduler == "mpi":
            from starnet_hpc.parallel.mpi import mpi_crew

            return mpi_crew()
        from starnet_hpc.parallel.running import running_crew

        return running_crew(scheduler, self._stop)


def _count(config: ExperimentConfig, tasks: int, worth: int | None = None) -> int:
    """Return how many workers to start."""
    settings = config.augment
    if settings.scheduler == "slurm":
        return min(settings.workers or config.cluster.cpus_per_task, tasks)
    default = min(available_cores(), worth or available_cores())
    return min(settings.workers or default, tasks)


def on_workers(
    crew: "Crew", task: Callable[[Key], Result], waiting: Iterator[Key], stop: Callable[[], bool]
) -> Iterator[tuple[Key, Result]]:
    """Yield results, with one task a worker thread under way.

    None is queued, so that the memory of client and scheduler stays the same however many keys there are, and a stop
    need not wait for tasks that have not begun.
    """
    key_of: dict[Future[Any], Key] = {}
    finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    more = True

    def fill() -> int:
        nonlocal more
        threads = _threads(crew.client)  # workers come and go
        crew.care(threads)
        while more and len(key_of) < threads and not stop():
            keys = list(islice(waiting, 1))
            more = bool(keys)
            for key in keys:
                future = crew.client.submit(task, key, pure=False)
                key_of[future] = key
                future.add_done_callback(finished.put)
        return threads

    fill()
    while key_of or (more and not stop()):
        try:
            future = finished.get(timeout=_LOOK_S)
        except queue.Empty:
            if not fill() and stop():
                return  # nobody is left to finish what was under way
            continue
        result = _result(future, fill)
        key = key_of.pop(future)
        future.release()
        fill()
        yield key, result


def _threads(client: "Client") -> int:
    try:
        return sum(client.nthreads().values())
    except (OSError, RuntimeError):
        raise _gone() from None


def _result(future: "Future[Any]", care: Callable[[], object]) -> Any:
    """Return the result of a task that has finished, or raise what it raised.

    A worker that is lost before its result is fetched takes the result with it: the task runs again, for which there
    may have to be another worker first.
    """
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    try:
        while True:
            try:
                return future.result(timeout=_FETCH_S)
            except TimeoutError:
                if future.status == "error":  # perhaps the error is the task's own
                    return future.result()
            care()
    except KilledWorker as error:
        host = error.last_worker.address.partition("://")[2].rpartition(":")[0]
        raise LauncherError(
            f"the same piece of work ended {error.allowed_failures + 1} worker processes, the last one on {host}; "
            f"mostly memory has run out: take fewer augment.workers or a smaller shard_rows, or ask the job for more "
            f"memory, then run the same command again to go on"
        ) from None
    except FutureCancelledError:
        raise _gone() from None


def _gone() -> LauncherError:
    return LauncherError("the Dask scheduler went away before the work was done; run the same command again to go on")
