"""What happens to jobs on a cluster, done to those of the test cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import support
from tests.cluster.slurm_harness import Slurm

PATIENCE_S = 120.0
"""For the start of four processes while the machine does other things, too."""
SECONDS_BEFORE_THE_LIMIT = 35
"""Slurm looks at time limits twice a minute, and sends the signal at the last look before it is due: with
`cluster.signal_delay_s: 5` this is what the next look finds due, whenever that comes."""


def out_of_time(slurm: Slurm, job: str) -> None:
    """Let a job's time run out soon; the signal before that comes from Slurm."""
    slurm.run("scontrol", "update", f"jobid={job}", f"EndTime=now+{SECONDS_BEFORE_THE_LIMIT}")


def preemption(slurm: Slurm, *, nodes: Sequence[str] = ()) -> None:
    """Let an urgent job take these nodes for a moment, by default all."""
    taken = nodes or slurm.nodes
    where = ("--partition", slurm.urgent, "--exclusive", f"--nodes={len(taken)}", f"--nodelist={','.join(taken)}")
    slurm.run("sbatch", "--output=/dev/null", *where, "--wrap=true")


@contextmanager
def preemption_by_sigterm(slurm: Slurm) -> Iterator[None]:
    """The same where Slurm does not send the job's own signal, as most do: SIGTERM to its steps, and the GraceTime.

    The signal has to come within this context.
    """
    file = Path("/etc/slurm/slurm.conf")
    before = file.read_text()
    file.write_text(before.replace("SlurmctldParameters=preempt_send_user_signal\n", ""))
    try:
        slurm.run("scontrol", "reconfigure")
        preemption(slurm)
        yield
    finally:
        file.write_text(before)
        slurm.run("scontrol", "reconfigure")


def node_failure(slurm: Slurm, node: str, witness: int) -> None:
    """Let a node fail with all that Slurm has there, and come back.

    Args:
        slurm: the cluster.
        node: its name.
        witness: a process of a job there, by whose network the others are known.
    """
    here = [witness]
    if slurm.namespaces:
        network = network_of(witness)
        assert network not in {"", network_of(os.getpid())}
        here = [pid for pid in support.processes("") if network_of(pid) == network]
    slurm.kill(f"slurmd-{node}")
    for pid in here:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")  # or Slurm would wait for minutes
    slurm.start(f"slurmd-{node}")
    support.wait_until(lambda: "down" not in state_of(slurm, node), f"the return of {node}", limit_s=PATIENCE_S)


def network_of(pid: int) -> str:
    """Return the network namespace of a process; nothing if it has ended."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""


def state_of(slurm: Slurm, node: str) -> str:
    return slurm.run("sinfo", "--noheader", f"--nodes={node}", "--format=%T").stdout


def environment_of(pid: int) -> dict[str, str]:
    """Return what a process was started with; nothing if it has ended."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    except OSError:
        return {}
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


@contextmanager
def halted(pids: Sequence[int]) -> Iterator[None]:
    """Halt processes meanwhile, so that their job cannot end before something has happened to it."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def has_heard(pid: int, *numbers: signal.Signals) -> bool:
    """Say whether a halted process has been sent one of these signals, goes on, or is gone."""
    try:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
    except OSError:
        return True
    pending = int(status["ShdPnd"], 16) | int(status["SigPnd"], 16)
    return not status["State"].startswith("T") or any(pending & 1 << (number - 1) for number in numbers)
