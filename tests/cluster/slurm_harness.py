"""The test cluster seen from Python: start it, run commands on it, stop it.

Tests take the fixture `slurm` and import only the type: ``from tests.cluster.slurm_harness import Slurm``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("STARNET_SLURM_STATE", "/var/lib/starnet-slurm"))  # as in slurm_common.sh
START_LIMIT_S = 240.0  # cold: packages come from a mirror that may be slow; within the limit for one test

# Settings of slurm_up.sh. srun would take some of them for its own options (SLURM_GPUS=2 is --gpus=2).
SETTINGS = ("SLURM_NODES", "SLURM_CPUS", "SLURM_GPUS", "SLURM_ACCT", "SLURM_NETNS", "SLURM_SUBNET")


class SlurmError(AssertionError):
    """A command on the cluster failed or took too long; the message holds both of its outputs."""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm, whose every node has run a step."""

    nodes: tuple[str, ...]
    partition: str
    urgent: str
    """A partition over the same nodes whose jobs evict (and requeue) those of `partition`."""
    namespaces: bool
    """Nodes have addresses and hostnames of their own; otherwise all of them are this host."""
    environment: Mapping[str, str] = field(repr=False)
    """What `run` gives to commands: `python` is the tests' interpreter, and the tests' modules can be imported."""

    def run(
        self, *command: str | os.PathLike[str], timeout: float = 200.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the submitting host and wait for its end.

        With `check`, a command that fails raises. After `timeout` seconds it always raises, and the job is cancelled:
        killing srun alone would leave the job on its nodes.
        """
        name = f"pytest-{uuid.uuid4().hex[:8]}"  # srun takes its job's name from this variable
        words = [os.fspath(word) for word in command]
        try:
            done = subprocess.run(
                words,
                env={**self.environment, "SLURM_JOB_NAME": name},
                stdin=subprocess.DEVNULL,  # srun would read the terminal
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            subprocess.run(["scancel", "--name", name], timeout=20, check=False)
            raise SlurmError(f"{words} took over {timeout} s\n{_text(late.stdout)}\n{_text(late.stderr)}") from late
        if check and done.returncode:
            raise SlurmError(f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def await_end(self, job: str, limit_s: float = 200.0) -> None:
        """Wait until a job has left the queue; `sbatch --wait` looks ever more rarely, and would take half a minute."""
        wait_for(
            lambda: job not in self.run("squeue", "--noheader", "--format=%A").stdout.split(), f"job {job}", limit_s
        )

    def kill(self, daemon: str) -> None:
        """Kill `slurmctld`, or the slurmd of a node (`slurmd-node1`), with SIGKILL, so that it saves nothing more.

        What the controller has done before is on the disk: it writes after most changes, but not when it has started a
        job from the backfill scheduler, which it would start a second time after its own restart.
        """
        if daemon == "slurmctld":
            marker = STATE / "controller" / "job_state"
            before = marker.stat().st_mtime_ns
            self.run("scancel", self.run("sbatch", "--parsable", "--hold", "--wrap=true").stdout.strip())
            wait_for(lambda: marker.stat().st_mtime_ns > before, "the controller's state on the disk")
        self.run("bash", HERE / "slurm_daemon.sh", "kill", daemon)

    def start(self, daemon: str) -> None:
        """Start a daemon that was killed, and wait until it answers."""
        self.run("bash", HERE / "slurm_daemon.sh", "start", daemon)

    def submitit_parameters(self, **changes: Any) -> dict[str, Any]:
        """Arguments for `submitit.AutoExecutor.update_parameters` that suit this cluster, with `changes` on top.

        The setup lines let jobs import the tests' modules. An hour is asked for since submitit takes any signal in the
        last ten minutes for a time-out, and counts it against `max_num_timeout`.
        """
        names = ("PATH", "PYTHONPATH", "OMP_NUM_THREADS")
        return {
            "timeout_min": 60,
            "slurm_partition": self.partition,
            "slurm_setup": [f"export {name}={shlex.quote(self.environment[name])}" for name in names],
            **changes,
        }


def _text(output: bytes | str | None) -> str:
    """Return what a command that ran out of time had written (bytes even where text was asked for)."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 200.0) -> None:
    """Poll until `condition()` holds; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {limit_s} s"
        time.sleep(0.1)


@contextmanager
def impatience() -> Iterator[None]:
    """Let jobs that were queued again start soon.

    Slurm has them wait until their old credential has expired, although slurmd takes a new one ("reissued job
    credential") that was made in a later second than the old one was revoked. Jobs that are to begin later for a reason
    of their own are left alone.
    """
    over = threading.Event()
    hastened: set[tuple[str, str]] = set()

    def hasten() -> None:
        show = ("squeue", "--noheader", "--states=PENDING", "--Format=JobID:20,RestartCnt:20,Reason:40")
        while not over.wait(0.3):
            with suppress(subprocess.TimeoutExpired):  # the controller is away
                told = subprocess.run(show, capture_output=True, text=True, timeout=30, check=False).stdout
                for job, restarts, reason in (line.split(maxsplit=2) for line in told.splitlines()):
                    if reason.strip() == "BeginTime" and restarts != "0" and (job, restarts) not in hastened:
                        soon = ("scontrol", "update", f"jobid={job}", "starttime=now+2")
                        hastened.add((job, restarts))
                        subprocess.run(soon, capture_output=True, timeout=30, check=False)

    thread = threading.Thread(target=hasten, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def obstacle() -> str | None:
    """Say why this machine cannot run the test cluster, or None if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "the test cluster needs root on Linux (a container will do)"
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        return "the test cluster needs Debian (apt-get and dpkg)"
    return None


def start(project: Path) -> tuple[Slurm, bool]:
    """Bring the cluster up, with the settings in the environment; also say whether it had to be started.

    `project` is the repository's folder: jobs import from it, and from the entries of `sys.path` in it.
    """
    try:
        done = subprocess.run(
            ["bash", HERE / "slurm_up.sh"], capture_output=True, text=True, timeout=START_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise SlurmError(f"slurm_up.sh took over {START_LIMIT_S} s\n{_text(late.stderr)}") from late
    if done.returncode:
        raise SlurmError(f"slurm_up.sh ended with {done.returncode}\n{done.stderr}")
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    cluster = Slurm(
        nodes=tuple(said["nodes"].split(",")),
        partition=said["partition"],
        urgent=said["urgent"],
        namespaces=said["network"] == "namespaces",
        environment=_environment(project),
    )
    return cluster, said["started"] == "yes"


def stop() -> None:
    """Cancel all jobs and stop the cluster."""
    done = subprocess.run(["bash", HERE / "slurm_down.sh"], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SlurmError(f"slurm_down.sh ended with {done.returncode}\n{done.stderr}")


def _environment(project: Path) -> dict[str, str]:
    """Return this process's environment with its interpreter and its ways of importing handed on."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    ours = [entry for entry in sys.path if entry and Path(entry).resolve().is_relative_to(project)]
    paths = [str(project), *ours, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in paths if path))
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", os.defpath)))
    environment.setdefault("OMP_NUM_THREADS", "1")  # the nodes share the host's few cores
    return environment
