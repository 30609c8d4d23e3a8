"""Workers that mpiexec or srun started, through dask-mpi: rank 0 schedules, rank 1 runs the stage, others work."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask.config
from dask.distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from starnet_hpc.allocation import set_thresholds
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.interrupts import STOP_SIGNALS
from starnet_hpc.parallel.conditions import DASK_SETTINGS, SILENT, WORKER_ENVIRONMENT, started
from starnet_hpc.parallel.crew import THREADS, Crew, Patience
from starnet_hpc.world import announced_ranks, mpi_world

_CLIENT_RANK = 1
_FEWEST = 3
_NO_WORKER_S = 300

_client: Client | None = None
"""Of the rank that runs the stage; its end is the end of the other ranks."""


@contextmanager
def roles(config: ExperimentConfig) -> Iterator[bool]:
    """Give each rank its role; say whether this one runs the stage.

    The others serve until that one leaves this context, and only then enter it.

    Raises:
        LauncherError: there are fewer than three ranks, or dask-mpi is missing.
    """
    size, rank = announced_ranks()
    if size < _FEWEST:
        raise _only_one_tells(rank, _too_few(size))
    try:
        import cryptography  # noqa: F401  # for the certificates
        from dask_mpi import initialize
    except ImportError as error:
        raise _only_one_tells(
            rank,
            f"augment.scheduler: mpi needs {error.name}; install it with `pip install 'starnet-hpc[dask-cluster]'`",
        ) from None
    logging.getLogger("distributed").setLevel(SILENT)
    world = mpi_world(size, rank)
    if rank != _CLIENT_RANK:
        _become_a_worker()
    with dask.config.set({**DASK_SETTINGS, **_certificates(world), "distributed.scheduler.preload": [__name__]}):
        runs_stage = initialize(
            interface=config.cluster.interface if rank == 0 else None,
            protocol="tls",
            nthreads=THREADS,
            dashboard=False,
            dashboard_address=":0",
            # Without a nanny nobody ends a worker that takes too much memory; the batch system then ends the job.
            memory_limit=0,
            exit=False,
        )
        if not runs_stage:
            yield False
            return
        with _connected():
            yield True


@contextmanager
def mpi_crew() -> Iterator[Crew]:
    """Give the ranks that work for this one.

    Raises:
        LauncherError: this process was not started as one of several ranks.
    """
    if _client is None:
        size, rank = announced_ranks()
        raise _only_one_tells(rank, _too_few(size))
    patience = Patience(_NO_WORKER_S)
    complaint = f"no rank has come to work within {_NO_WORKER_S} s; with several networks, set cluster.interface"
    yield Crew(_client, lambda workers: patience.test(workers, lambda: complaint))


def dask_setup(scheduler: Scheduler) -> None:
    """End the scheduler with its client (Dask calls this in rank 0, as one of `distributed.scheduler.preload`)."""
    scheduler.add_plugin(_EndsWithItsClient())


class _EndsWithItsClient(SchedulerPlugin):
    """However the rank that runs the stage ends, the others must not wait for it until the job's wall time."""

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        if not any(other != client and other != "fire-and-forget" for other in scheduler.clients):
            scheduler.loop.add_callback(scheduler.close)


@contextmanager
def _connected() -> Iterator[None]:
    """Hold the connection that keeps the other ranks; end them on the way out."""
    global _client
    _client = started(Client)
    try:
        yield
    finally:
        client, _client = _client, None
        with suppress(OSError, TimeoutError, RuntimeError):  # a scheduler that is gone needs no end
            client.shutdown()


def _become_a_worker() -> None:
    """Leave signals to the rank that runs the stage, and set what a worker's environment says."""
    for number in (*STOP_SIGNALS, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(WORKER_ENVIRONMENT)
    # malloc has read its environment when this process began.
    set_thresholds(
        trim=int(WORKER_ENVIRONMENT["MALLOC_TRIM_THRESHOLD_"]), mmap=int(WORKER_ENVIRONMENT["MALLOC_MMAP_THRESHOLD_"])
    )


def _certificates(world: Any) -> dict[str, Any]:
    """Return settings with keys made for this run: whoever may talk to the scheduler can run code as this user."""
    from distributed.security import Security

    made = None
    if world.Get_rank() == 0:
        security = Security.temporary()
        made = {"ca-file": security.tls_ca_file}
        for role in ("scheduler", "worker", "client"):
            made |= {f"{role}.key": getattr(security, f"tls_{role}_key")}
            made |= {f"{role}.cert": getattr(security, f"tls_{role}_cert")}
    keys = world.bcast(made, root=0)
    return {
        "distributed.comm.require-encryption": True,
        **{f"distributed.comm.tls.{name}": text for name, text in keys.items()},
    }


def _too_few(ranks: int) -> str:
    found = "this is one process" if ranks == 1 else f"there are {ranks} ranks"
    return (
        f"augment.scheduler: mpi needs at least {_FEWEST} ranks (scheduler, client, workers), and {found}; start "
        f"ingest, augment or observe by itself, as in `mpiexec -n 6 python -m starnet_hpc.augment CONFIG`"
    )


def _only_one_tells(rank: int, words: str) -> LauncherError:
    error = LauncherError(words)
    error.told = rank != 0
    return error
