"""The process that workers of this machine are forked from: it imports once what all of them need.

A worker's imports take as long as thousands of spectra, and longer where all cores of a node ask one file system for
the same files. This way they are read once, on a core of their own, while the stage is still reading its inputs.
"""

import os
import sys
from collections.abc import Iterable
from multiprocessing import forkserver

from starnet_hpc.parallel.conditions import unsignalled, worker_environment

_OF_ALL_WORKERS = ("distributed.nanny",)


def begin_forking(modules: Iterable[str]) -> bool:
    """Have that process started, unless it is there; return whether workers can be forked from it.

    It does not keep the caller waiting, and ends with this process.

    Args:
        modules: what it shall import, besides what all workers need.
    """
    with worker_environment(), unsignalled():
        # It shall find the packages that this process has found, wherever they are installed besides.
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        forkserver.set_forkserver_preload([*_OF_ALL_WORKERS, *modules])
        try:
            forkserver.ensure_running()
        except OSError:  # it listens in the temporary folder, whose path may be longer than sockets allow
            return False
    return True
