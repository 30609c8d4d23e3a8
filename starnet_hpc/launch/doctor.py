"""Doctor: what works on this machine, and what to do about the rest."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from starnet_hpc import provenance
from starnet_hpc.errors import LauncherError
from starnet_hpc.launch.chain import find_mpiexec

_SLOW_S = 60
_MPI_PROBE = (
    "from mpi4py import MPI; comm = MPI.COMM_WORLD; "
    "comm.Get_rank() or print(comm.Get_size(), MPI.Get_library_version().split(chr(10))[0][:60])"
)
"""Only the first rank speaks: the words of two would run into each other now and then."""
_STYLE = {"ok": "green", "warn": "yellow", "fail": "red"}
_MB = 1 << 20


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    subject: str
    state: Literal["ok", "warn", "fail"]
    what: str
    remedy: str = ""


def doctor() -> None:
    """Print what works here.

    Raises:
        LauncherError: something that every stage needs does not work.
    """
    findings = [check() for check in CHECKS]
    table = Table(box=None, pad_edge=False)
    for title in ("", "", "found", "remedy"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        mark = f"[{_STYLE[finding.state]}]{finding.state}[/]"
        table.add_row(finding.subject, mark, escape(finding.what), escape(finding.remedy))
    Console().print(table)
    broken = [finding.subject for finding in findings if finding.state == "fail"]
    if broken:
        raise LauncherError(f"does not work: {', '.join(broken)}; the remedies stand above")


def check_python() -> Finding:
    """Python and the packages that shape results."""
    versions = provenance.software()
    absent = [name for name, version in versions.items() if version == "absent"]
    text = f"{platform.python_version()}, " + ", ".join(f"{n} {v}" for n, v in versions.items() if n != "python")
    if absent:
        return Finding("Python", "fail", f"{text}", f"install {', '.join(absent)}: pip install starnet-hpc")
    return Finding("Python", "ok", text)


def check_cores() -> Finding:
    """Cores of this job, and thread settings that would oversubscribe them."""
    cores, machine = len(os.sched_getaffinity(0)), os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS")
    text = f"{cores} of the machine's {machine}, OMP_NUM_THREADS {threads or 'not set'}"
    if threads and threads.isdigit() and int(threads) > cores:
        return Finding("cores", "warn", text, "unset OMP_NUM_THREADS, or set it to at most the job's cores")
    return Finding("cores", "ok", text)


def check_gpu() -> Finding:
    """GPUs that torch sees."""
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())}
        nccl = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        cuda = torch.version.cuda
        return Finding(
            "GPU", "ok", f"{torch.cuda.device_count()} x {', '.join(sorted(names))}, CUDA {cuda}, NCCL {nccl}"
        )
    if shutil.which("nvidia-smi"):
        return Finding(
            "GPU",
            "warn",
            "the driver is here, but torch sees no GPU",
            "install a CUDA build of torch, or ask the job for a GPU",
        )
    return Finding("GPU", "ok", "none: networks train and predict on the CPU (gloo)")


def check_mpi() -> Finding:
    """Whether mpiexec and mpi4py belong together, by starting two ranks."""
    mpiexec = find_mpiexec()
    if mpiexec is None:
        return Finding(
            "MPI",
            "warn",
            "no mpiexec: predictions run as one process",
            "pip install mpich, or load the cluster's MPI module",
        )
    try:
        done = subprocess.run(
            [mpiexec, "-n", "2", sys.executable, "-c", _MPI_PROBE],
            capture_output=True, text=True, timeout=_SLOW_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding(
            "MPI", "warn", f"{mpiexec} -n 2 did not come back in {_SLOW_S} s", "on a login node use srun inside a job"
        )
    lines = done.stdout.split("\n")
    if done.returncode != 0:
        return Finding(
            "MPI",
            "warn",
            (done.stderr.strip().splitlines() or ["no message"])[-1],
            "load one MPI module, and install no second MPI wheel",
        )
    if not lines[0].startswith("2 "):
        return Finding(
            "MPI",
            "warn",
            f"{mpiexec} starts single processes: it is not mpi4py's MPI",
            "set MPI4PY_MPIABI, or use the mpiexec of the library that mpi4py loads",
        )
    return Finding("MPI", "ok", f"{lines[0][2:]}, {mpiexec}")


def check_slurm() -> Finding:
    """Slurm and its accounting."""
    if not shutil.which("sbatch"):
        return Finding("Slurm", "ok", "none: use the executor `local`")
    version = _said(["sinfo", "--version"])
    if version is None:
        return Finding(
            "Slurm",
            "warn",
            "sbatch is here, but the controller does not answer",
            "ask the cluster's staff, or use the executor `local`",
        )
    if _said(["sacct", "-n", "-X"]) is None:
        return Finding(
            "Slurm",
            "warn",
            f"{version}, sacct does not answer; srun --mpi: {_mpi_flavours()}",
            "ask the cluster's staff for accounting; without it, the end of a job is noticed late",
        )
    return Finding("Slurm", "ok", f"{version}, accounting; srun --mpi: {_mpi_flavours()}")


def check_files() -> Finding:
    """Atomic rename, free space and inodes where this was started."""
    here = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(dir=here) as folder:
            first, second = Path(folder) / "a", Path(folder) / "b"
            first.write_bytes(b"new")
            second.write_bytes(b"old")
            first.replace(second)
            renamed = second.read_bytes() == b"new"
            locks = _can_lock(second)
    except OSError as error:
        return Finding(
            "files", "warn", f"{here}: {error.strerror}", "start where you may write, or give run_dir elsewhere"
        )
    status = os.statvfs(here)
    free, inodes = status.f_bavail * status.f_frsize / _MB / 1024, status.f_favail
    text = f"{here}: {free:.0f} GB and {inodes:.3g} inodes free"
    if not renamed:
        return Finding(
            "files", "fail", f"{here}: a rename did not replace its target", "put run_dir on another file system"
        )
    if not locks:
        return Finding(
            "files", "warn", f"{text}, no locks of files", "start only one command at a time for a run directory here"
        )
    if free < 10 or 0 < inodes < 10_000:
        return Finding("files", "warn", text, "put run_dir where there is more: 100,000 UVES spectra need 8 GB")
    return Finding("files", "ok", text)


CHECKS: tuple[Callable[[], Finding], ...] = (check_python, check_cores, check_gpu, check_mpi, check_slurm, check_files)


def _can_lock(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _mpi_flavours() -> str:
    """Return the values that `srun --mpi` can have here (`cluster.mpi`)."""
    try:
        done = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True, timeout=_SLOW_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not known"
    names = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line[:1].isspace()]
    return ", ".join(names) or "not known"


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SLOW_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
