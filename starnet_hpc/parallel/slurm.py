"""Workers as Slurm jobs of their own, through dask-jobqueue: the scheduler is in this process, workers come and go."""

import math
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dask.distributed import Client
from distributed.security import Security

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel.conditions import (
    DASK_SETTINGS,
    SILENT,
    WORKER_ENVIRONMENT,
    as_environment,
    ctrl_c_kept,
    started,
    unsignalled,
)
from starnet_hpc.parallel.crew import THREADS, Crew, Patience

_ASK_SLURM_EVERY_S = 15.0
"""The queue belongs to everybody: it is not asked more often."""
_SQUEUE_LIMIT_S = 30
_LOG_LINES = 6
_PARTS_OF_TRACEBACKS = (" ", "Traceback ", "The above exception ", "During handling ")


@contextmanager
def slurm_crew(config: ExperimentConfig, workers: int) -> Iterator[Crew]:
    """Submit jobs for so many workers; cancel them on the way out, whatever the reason.

    A job that ends while there is work (wall time, node failure, scancel) is submitted again.

    Raises:
        LauncherError: there is no Slurm or no dask-jobqueue, or sbatch refuses; later, no job has brought a worker.
    """
    folder = config.run_dir / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (config.run_dir / "logs").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="keys-", ignore_cleanup_errors=True) as keys:
        jobs = _Jobs(config, workers, Path(keys))
        try:
            with started(lambda: Client(jobs.cluster)) as client:
                yield Crew(client, jobs.care)
        finally:
            jobs.cancel()


class _Jobs:
    """The jobs of one crew."""

    def __init__(self, config: ExperimentConfig, workers: int, keys: Path) -> None:
        self._wanted = math.ceil(workers / config.cluster.cpus_per_task)
        processes = math.ceil(workers / self._wanted)
        self._limit_min = config.cluster.queue_minutes
        self._log = config.run_dir / "logs"
        self._patience = Patience(60.0 * self._limit_min)
        self._asked = time.monotonic()
        self._refused: list[str] = []
        self._have_worked: set[str] = set()
        """Names of jobs whose workers have been seen."""
        with unsignalled(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the libraries call each other
            self.cluster = started(lambda: _cluster(config, processes, keys, self._refused))
        self.cluster.scale(jobs=self._wanted)

    def care(self, workers: int) -> None:
        """Replace jobs that have ended; raise LauncherError where none will come."""
        if self._refused:
            raise LauncherError(f"Slurm refuses the workers' jobs: {self._refused[0]}; check the section `cluster`")
        if time.monotonic() - self._asked < _ASK_SLURM_EVERY_S:
            return
        self._asked = time.monotonic()
        ids = self._ids()
        states = _squeue(list(ids.values()))
        if states is None:  # Slurm has no time for us; ask again later
            return
        names = {str(worker["name"]) for worker in self.cluster.scheduler_info["workers"].values()}
        working = {job for job in ids if any(name == job or name.startswith(f"{job}-") for name in names)}
        self._have_worked |= working
        ended = {job for job, number in ids.items() if number not in states} - working
        if lost := ended & self._have_worked:
            self._replace(lost)
        elif ids and ended == set(ids):
            raise LauncherError(self._died_at_once(ids[min(ended)]))
        self._patience.test(
            workers,
            lambda: (
                f"no worker has come up in {self._limit_min} minutes (cluster.queue_minutes); Slurm says of the jobs: "
                f"{', '.join(sorted(set(states.values()))) or 'nothing'}"
            ),
        )

    def cancel(self) -> None:
        """End all jobs, and the scheduler."""
        ids = list(self._ids().values())
        # Closing fails on jobs that are just being submitted; the error that has brought us here must not be lost.
        with suppress(AssertionError, OSError, RuntimeError, TimeoutError):
            self.cluster.close()
        if ids:  # once more, and without Dask: what is left in the queue costs somebody
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(["scancel", "--quiet", *ids], check=False, capture_output=True, timeout=_SQUEUE_LIMIT_S)

    def _ids(self) -> dict[str, str]:
        """Return Slurm's numbers of the jobs by their names."""
        jobs = dict(self.cluster.workers)
        return {str(name): str(job.job_id) for name, job in jobs.items() if job.job_id is not None}

    def _replace(self, lost: set[str]) -> None:
        self.cluster.sync(self.cluster.scale_down, lost)
        self.cluster.scale(jobs=self._wanted)

    def _died_at_once(self, number: str) -> str:
        log = self._log / f"worker-{number}.log"
        try:
            text = log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = "(it cannot be read)"
        lines = [line for line in text.splitlines() if line and not line.startswith(_PARTS_OF_TRACEBACKS)]
        words = (
            "the workers' jobs ended without a worker; check cluster.setup, and with several networks cluster.interface"
        )
        return "\n    ".join([f"{words}. The end of {log}:", *lines[-_LOG_LINES:]])


def _cluster(config: ExperimentConfig, processes: int, keys: Path, refused: list[str]) -> Any:
    """Return the cluster, still without jobs; what sbatch says against them goes to `refused`."""
    if any(letter.isspace() for letter in str(keys)):  # dask-jobqueue makes shell lines of it
        raise LauncherError(
            f"augment.scheduler: slurm needs a run_dir without blanks in its path, not {config.run_dir}"
        )
    if shutil.which("sbatch") is None:
        raise LauncherError(
            "augment.scheduler is `slurm`, but there is no Slurm here (no sbatch on PATH): "
            "take `local`, or start on a login node"
        )
    try:
        import cryptography  # noqa: F401  # for the certificates

        with ctrl_c_kept():
            from dask_jobqueue.slurm import SLURMCluster, SLURMJob
    except ImportError as error:
        raise LauncherError(
            f"augment.scheduler: slurm needs {error.name}; install it with `pip install 'starnet-hpc[dask-cluster]'`"
        ) from None

    class Job(SLURMJob):
        async def start(self) -> None:
            try:
                await super().start()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                refused.append(_words_of_sbatch(error))

    asked = config.cluster
    return SLURMCluster(
        job_cls=Job,  # type: ignore[arg-type]  # the class, whatever the annotation says
        name=config.name,
        job_name=f"{config.name}-worker",
        queue=asked.partition,
        account=asked.account,
        walltime=str(asked.time),
        cores=processes * THREADS,
        job_cpu=processes,
        processes=processes,
        memory=f"{asked.mem_gb or processes:g}GB",  # without mem_gb it counts for nothing
        job_directives_skip=["--mem="] if asked.mem_gb is None else [],
        job_extra_directives=_directives(config),
        job_script_prologue=[*asked.setup, *_exports()],
        worker_extra_args=[
            *("--lifetime", f"{_lifetime_s(asked.time, asked.signal_delay_s)}s"),
            *(("--memory-limit", "0") if asked.mem_gb is None else ()),  # Slurm has a limit of its own
        ],
        death_timeout=60,
        python=shlex.quote(sys.executable),
        silence_logs=SILENT,
        scheduler_options={"dashboard": False, "dashboard_address": ":0", "interface": asked.interface},
        security=_certificates(keys),
    )


def _certificates(folder: Path) -> Security:
    """Return keys made for this run, in files that only this user's jobs can read.

    All of the cluster's network can reach the scheduler, and whoever may talk to it can run code as this user.
    """
    made = Security.temporary()
    files = {"ca_file": made.tls_ca_file, "key": made.tls_worker_key, "cert": made.tls_worker_cert}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    own = {
        f"tls_{role}_{name}": str(folder / name)
        for role in ("scheduler", "worker", "client")
        for name in ("key", "cert")
    }
    return Security(require_encryption=True, tls_ca_file=str(folder / "ca_file"), **own)


def _directives(config: ExperimentConfig) -> list[str]:
    log = config.run_dir / "logs" / "worker-%j.log"
    extra = [f"--{name}={value}" for name, value in config.cluster.extra.items()]
    return [f"--output={shlex.quote(str(log))}", *extra]


def _exports() -> list[str]:
    variables = {**WORKER_ENVIRONMENT, **as_environment(DASK_SETTINGS), "DASK_LOGGING__DISTRIBUTED": "warning"}
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _lifetime_s(time_min: int, delay_s: int) -> int:
    """Return after how many seconds a worker leaves by itself, so that no shard is cut off by the job's wall time."""
    return max(60 * time_min - delay_s, 30 * time_min)


def _words_of_sbatch(error: RuntimeError) -> str:
    text = str(error)
    said = [line.removeprefix("sbatch: ").strip() for line in text.partition("stderr:")[2].splitlines()]
    return "; ".join(line for line in said if line) or text.splitlines()[0]


def _squeue(jobs: list[str]) -> dict[str, str] | None:
    """Return state and reason of those jobs that are in the queue, by their numbers; None if Slurm does not answer."""
    command = ["squeue", "--noheader", "--me", "--format=%i|%T (%r)"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SQUEUE_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    known = dict(line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {number: known[number] for number in jobs if number in known}
