"""Workers on this machine, one process a core."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dask.config
from dask.distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel.conditions import SILENT, started, unsignalled, worker_environment
from starnet_hpc.parallel.crew import THREADS, Crew
from starnet_hpc.parallel.forking import begin_forking


@contextmanager
def local_crew(workers: int, module: str) -> Iterator[Crew]:
    """Start so many worker processes here, for a task defined in a module; end them on the way out.

    Raises:
        LauncherError: they were lost as they started, twice.
    """
    method = "forkserver" if begin_forking([module]) else "spawn"
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": method}),
        worker_environment(),
        _cluster(workers) as cluster,
        started(lambda: Client(cluster)) as client,
    ):
        yield Crew(client)


@contextmanager
def _cluster(workers: int) -> Iterator[LocalCluster]:
    with unsignalled():
        try:
            cluster = started(lambda: _new_cluster(workers))
        except RuntimeError:  # Dask replaces a worker that is lost at work, but not one that is lost as it starts
            cluster = _second_cluster(workers)
    try:
        yield cluster
    finally:
        # Closing fails on a worker that is just being started again. It ends with this process, and the error that has
        # brought us here must not be lost.
        with suppress(AssertionError, OSError):
            cluster.close()


def _second_cluster(workers: int) -> LocalCluster:
    try:
        return started(lambda: _new_cluster(workers))
    except RuntimeError as error:
        raise LauncherError(
            f"worker processes ended as they started, twice ({error.__cause__ or error}); mostly memory has run out: "
            f"take fewer augment.workers, or ask the job for more memory, then run the same command again to go on"
        ) from None


def _new_cluster(workers: int) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=THREADS,
        processes=True,
        dashboard_address="127.0.0.1:0",  # None would fight for port 8787 all the same
        scheduler_kwargs={"dashboard": False},
        silence_logs=SILENT,
        # A worker's share of what the job may use. Dask's own would be a core's share of the machine, which is less
        # than a shard where few workers run on a large machine.
        memory_limit=MEMORY_LIMIT // workers,
    )
