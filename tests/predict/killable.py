"""Program of test_kills.py: predicts an experiment once for each line of its standard input.

`python killable.py CONFIG`. A line is a time in seconds; a prediction that takes longer is killed. The answer, a line
on standard output, is its exit code: -9 if it was killed. Each is a process of its own, forked from this one, which has
imported everything: twenty starts of torch would take a minute.
"""

import os
import select
import signal
import sys

import starnet_hpc.predict  # noqa: F401  # the command line imports a stage when it is asked for it
from starnet_hpc.cli import stage_main

if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(stage_main("predict", [sys.argv[1]]))
        ended = os.pidfd_open(child)
        select.select([ended], [], [], float(line))
        os.kill(child, signal.SIGKILL)  # one that has ended waits to be asked for its exit code
        os.close(ended)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
