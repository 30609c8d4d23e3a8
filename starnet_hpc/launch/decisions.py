"""What a rerun of the chain does about each stage and member: decided from what is there and what Slurm says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starnet_hpc.launch.controller import UNKNOWN_JOB, JobState
from starnet_hpc.launch.scripts import STAGES
from starnet_hpc.launch.submissions import ChainJob


@dataclass
class Decisions:
    """What is left alone, submitted and cancelled; keys are stages, and `members/3`."""

    keep: dict[str, str] = field(default_factory=dict)
    """Jobs that wait or run, by what they do."""
    submit: list[str] = field(default_factory=list)
    """In the order of the stages."""
    cancel: dict[str, str] = field(default_factory=dict)
    """Jobs that would never begin, or begin too early, and why."""


def decide(missing: Sequence[str], jobs: Mapping[str, ChainJob], states: Mapping[str, JobState]) -> Decisions:
    """Return what is to be done so that all that is missing gets done once.

    Args:
        missing: keys of what is not there yet; with a stage all that come after it are missing.
        jobs: the last job of each.
        states: of these jobs, by number.
    """
    made = Decisions()
    before: list[str] = []  # jobs of the nearest stage before that is not done
    anew = False
    for stage in STAGES:
        keys = [key for key in missing if key.partition("/")[0] == stage]
        here: list[str] = []
        for key in keys:
            job = jobs.get(key)
            number = job.job if job else None
            state = states.get(number, UNKNOWN_JOB) if number else UNKNOWN_JOB
            if job is not None and number is not None and state.alive and not anew and set(before) <= set(job.after):
                made.keep[key] = number
                here.append(number)
                continue
            if number is not None and state.state == "PENDING" and not state.alive:
                made.cancel[number] = f"{key}: it waits for a job that has failed, and would wait for ever"
            elif number is not None and state.alive:
                made.cancel[number] = f"{key}: it does not wait for what is submitted now"
            made.submit.append(key)
        if keys:
            before, anew = here, anew or any(key in made.submit for key in keys)
    return made


def waits_for(stage: str, missing: Sequence[str]) -> str | None:
    """Return the stage that the jobs of another wait for: the nearest one before that is not done."""
    before = [name for name in STAGES[: STAGES.index(stage)] if any(k.partition("/")[0] == name for k in missing)]
    return before[-1] if before else None
