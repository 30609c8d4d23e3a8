"""The jobs of the chain as people see them: one line each, once or until all have ended."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.launch import controller
from starnet_hpc.launch.controller import UNKNOWN_JOB, JobState
from starnet_hpc.launch.submissions import ChainJob, noted_chain
from starnet_hpc.launch.words import left_alone, wide_console
from starnet_hpc.progress import StageLog

_LOOK_EVERY_S = 10.0
"""The queue belongs to everybody: it is not asked more often."""
_LOG_LINES = 3
_SILENT = "?"
"""State of jobs while Slurm does not answer."""
_STYLE = {"COMPLETED": "green", "RUNNING": "yellow", "PENDING": "dim", "unknown": "dim"}
_AGAIN = "`starnet-hpc run CONFIG --executor slurm` submits what is missing"


@dataclass(frozen=True)
class JobLine:
    """One job of the chain."""

    key: str
    """What it does: a stage, or `members/3`."""
    job: str
    state: str
    """As Slurm names it; `unknown` where Slurm does not (or no longer) know, `?` where it does not answer."""
    reason: str
    nodes: str
    note: str
    """Why it waits or has failed, in words."""
    alive: bool


def chain_lines(config: ExperimentConfig, *, patient: bool = True) -> list[JobLine]:
    """Return the jobs that `run` has submitted, in the order of the stages; none where Slurm does not answer.

    Args:
        config: of the experiment.
        patient: whether a controller that does not answer is asked again, for a minute.
    """
    jobs = noted_chain(config.run_dir / "jobs")
    numbers = [job.job for job in jobs.values() if job.job is not None]
    states: Mapping[str, JobState] = {}
    silent = ""
    if numbers:
        try:
            states = controller.states(numbers, patient=patient)
        except LauncherError as error:
            silent = str(error)
    return [_line(job, jobs, states, silent) for job in jobs.values()]


def print_lines(lines: Sequence[JobLine]) -> None:
    """Print a table of jobs."""
    if lines:
        wide_console().print(job_table(lines))


def job_table(lines: Sequence[JobLine]) -> Table:
    """Return a table of jobs."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "job", "state", "on", ""):
        table.add_column(title, overflow="fold")
    for line in lines:
        style = _STYLE.get(line.state, "red")
        table.add_row(
            escape(line.key), line.job, f"[{style}]{escape(line.state)}[/]", escape(line.nodes), escape(line.note)
        )
    return table


def follow(config: ExperimentConfig, log: StageLog) -> None:
    """Show the jobs until all have ended: a table that moves on a terminal, else a line for each change.

    Args:
        config: of the experiment.
        log: is told which jobs go on if Ctrl-C ends this.
    """
    console = wide_console()
    shown: dict[str, str] = {}
    live = Live(console=console, auto_refresh=False) if sys.stdout.isatty() else None
    going_on = [job.job for job in noted_chain(config.run_dir / "jobs").values() if job.job is not None]
    try:
        if live:
            live.start()
        quiet = 0
        while True:
            lines = chain_lines(config)
            going_on = [line.job for line in lines if line.alive or line.state == _SILENT]
            _cancel_hopeless(lines)
            if live:
                live.update(job_table(lines), refresh=True)
            else:
                for line in lines:
                    state = line.note if line.state == _SILENT else line.state
                    words = f"{line.key}, job {line.job}: {state} {line.nodes}".rstrip()
                    if shown.get(line.key) != words:
                        shown[line.key] = words
                        console.print(escape(words))
            # Twice: a job that is queued again looks like one that has failed, once. Silence is not an end.
            quiet = quiet + 1 if lines and not going_on else 0
            if quiet == 2 or (quiet and all(line.state == "COMPLETED" for line in lines)):
                return
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        if going_on:
            log.warning("%s", left_alone(going_on))
        raise
    finally:
        if live:
            live.stop()


def _cancel_hopeless(lines: Sequence[JobLine]) -> None:
    """End jobs that wait for one that has failed, where Slurm does not do so by itself."""
    if hopeless := [line.job for line in lines if line.reason == controller.NEVER and line.state == "PENDING"]:
        with suppress(LauncherError):  # it does not answer just now: at the next look
            controller.cancel(hopeless)


def _line(job: ChainJob, jobs: Mapping[str, ChainJob], states: Mapping[str, JobState], silent: str) -> JobLine:
    if job.job is None:
        return JobLine(job.key, "?", "unknown", "", "", f"the command ended while it submitted it; {_AGAIN}", False)
    if silent:
        return JobLine(job.key, job.job, _SILENT, "", "", f"Slurm does not answer: {silent}", False)
    state = states.get(job.job, UNKNOWN_JOB)
    return JobLine(
        job.key,
        job.job,
        state.state,
        state.reason,
        state.nodes,
        "; ".join(_notes(job, jobs, states, state)),
        state.alive,
    )


def _notes(
    job: ChainJob, jobs: Mapping[str, ChainJob], states: Mapping[str, JobState], state: JobState
) -> Iterator[str]:
    waits = {one.job: one for one in jobs.values() if one.job is not None and one.job in job.after}
    failed = [
        f"{one.key} (job {number}) ended {states[number].state}"
        for number, one in waits.items()
        if number in states and not states[number].alive
        and states[number].state not in {"COMPLETED", "unknown"}
    ]  # fmt: skip
    word = state.state
    if state.alive:
        if word == "PENDING" and state.reason.startswith("Dependency"):
            yield f"waits for {', '.join(dict.fromkeys(one.stage for one in waits.values())) or 'another job'}"
        elif word == "PENDING":
            yield f"waits: {state.reason}"
    elif failed and (word == "PENDING" or word.startswith("CANCELLED")):
        yield f"cannot begin, because {' and '.join(failed)}; {_AGAIN}"
    elif word == "unknown":
        yield "Slurm does not know it any more"
    elif word != "COMPLETED":
        yield f"the end of {job.log}: {_end_of(Path(job.log))}"
        yield _AGAIN


def _end_of(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "(it is not there)"
    return " / ".join(line.strip() for line in lines[-_LOG_LINES:]) or "(it is empty)"
