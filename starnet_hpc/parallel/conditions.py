"""What all of Dask's processes are told, whoever starts them, and what they must leave alone."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from starnet_hpc.interrupts import STOP_SIGNALS

Made = TypeVar("Made")

SILENT = logging.CRITICAL + 1
"""Dask tells of each failed task and lost worker on stderr; what the user has to know of them is raised instead."""

WORKER_ENVIRONMENT = {
    # Kernels have one thread, and there is one worker process a core: nothing else may start threads of its own.
    **dict.fromkeys(
        ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
    ),
    # Dask has its workers give memory back in pieces of 64 KB. The arrays of each spectrum then come as fresh pages
    # from the system, which takes two to three times as long as the kernels themselves.
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
"""Set before a worker's Python starts: that is when malloc and BLAS read it."""

DASK_SETTINGS: dict[str, Any] = {
    # The scheduler remembers what has happened, for people to look at. Nobody looks here, and a survey is a long run.
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 100,
    "distributed.admin.system-monitor.log-length": 60,
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.diagnostics.erred-tasks.max-history": 1,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    # ... nor for how promptly its loops go round, fifty times a second: all this takes a share of every core.
    "distributed.admin.tick.interval": "1s",
    # A worker holds one shard, not data that others wait for: there is nothing to write to disk, and one that is paused
    # for what malloc keeps for its next shard would never go on. Near its share of memory it is ended and the shard
    # tried elsewhere, before the system ends something else for it.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


def as_environment(settings: dict[str, Any]) -> dict[str, str]:
    """Return Dask's settings as the environment variables through which a process started elsewhere reads them."""
    return {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": str(value) for name, value in settings.items()}


@contextmanager
def dask_told() -> Iterator[None]:
    """Apply the settings, and keep Dask's loggers quiet."""
    import dask.config
    import distributed  # noqa: F401  # brings defaults, which would be lost with our settings if these came first

    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(SILENT)
    try:
        with dask.config.set(DASK_SETTINGS):
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def ctrl_c_kept() -> Iterator[None]:
    """Give Ctrl-C its meaning back after an import: dask-jobqueue's makes it end the process with exit code 0."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)  # None: not set by Python


@contextmanager
def unsignalled() -> Iterator[None]:
    """Let threads and processes that are made inside never see the signals that ask this process to stop.

    Signals for a whole process group (Ctrl-C, scancel) are this process's to answer: workers finish their shards.
    """
    signals = {*STOP_SIGNALS, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        resource_tracker.ensure_running()  # a process of multiprocessing's, whose start lets two of the signals through
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_environment() -> Iterator[None]:
    """Give this process the environment of workers, which those that it starts or replaces inherit."""
    before = dict(os.environ)
    os.environ.update(WORKER_ENVIRONMENT)
    os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"  # `silence_logs` ends a moment before the worker does
    try:
        yield
    finally:
        # Dask adds variables of its own. Whatever this process starts next (training, say) has other needs.
        os.environ.clear()
        os.environ.update(before)


def started(make: Callable[[], Made]) -> Made:
    """Return what Dask makes, with a second try: it gives its own thread ten seconds to start, by an assertion.

    A machine that stalls once (memory being reclaimed, a shared file system) needs longer, and is not broken.
    """
    try:
        return make()
    except AssertionError:
        return make()
