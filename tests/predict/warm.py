"""Program of test_kills.py: gives an MPI job ranks that have already imported everything.

`python warm.py SOCKET` serves until it is killed; mpiexec starts `rank.py`, which asks here for the process that
becomes its rank, forked from this one with the rank's environment and its connection to mpiexec. Forty starts of torch
would take minutes.
"""

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress

import starnet_hpc.predict  # noqa: F401  # the command line imports a stage when it is asked for it
from starnet_hpc.cli import stage_main


def serve(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
        while True:
            rank, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                keep(rank)
                os._exit(0)
            rank.close()


def keep(rank: socket.socket) -> None:
    """Run one rank, which does not outlive the program that asked for it; tell its number and its exit code."""
    request, descriptors, _, _ = socket.recv_fds(rank, 1 << 20, 2)
    environment = json.loads(request)
    child = os.fork()
    if child == 0:
        rank.close()
        os.dup2(descriptors[0], 2)
        os.environ.clear()
        os.environ.update(environment, PMI_FD=str(descriptors[1]))
        sys.exit(stage_main("predict", [environment["WARM_CONFIG"]]))  # by the usual way out, on which MPI is ended
    for descriptor in descriptors:
        os.close(descriptor)
    rank.send(str(child).encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, rank], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # the rank was killed, too
        rank.send(str(code).encode())


if __name__ == "__main__":
    serve(sys.argv[1])
