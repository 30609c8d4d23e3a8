"""What Dask's packages must leave alone."""

from tests.support import run


def test_ctrl_c_keeps_its_meaning_when_dask_jobqueue_is_imported() -> None:
    # In a process of its own: a module is imported once.
    program = """
import os, signal
from starnet_hpc.parallel.conditions import ctrl_c_kept
signal.signal(signal.SIGINT, signal.default_int_handler)
with ctrl_c_kept():
    import dask_jobqueue.slurm
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise SystemExit("interrupted")
"""
    assert run("-c", program).stderr == "interrupted\n"
