"""Members as jobs, from submission to end: as many at a time as there are places, lost ones again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.launch.jobs import Jobs, LocalJobs, Outcome, SlurmJobs
from starnet_hpc.progress import StageLog

_POLL_S = 0.5


def run_members(
    config: ExperimentConfig, members: Sequence[int], executor: str, log: StageLog, on_poll: Callable[[], None]
) -> list[Outcome]:
    """Train members as jobs, wait for them, and return how each ended.

    A job whose process or machine was lost is submitted again, `ensemble.retries` times at most.

    Args:
        config: of the experiment.
        members: which ones.
        executor: `local` or `slurm`.
        log: is told what happens meanwhile.
        on_poll: called about twice a second while jobs run.

    Raises:
        LauncherError: the jobs were refused, or Slurm does not answer.
        StoreMismatchError: a job that an earlier command submitted trains with another configuration.
    """
    jobs: Jobs = SlurmJobs(config) if executor == "slurm" else LocalJobs(config)
    jobs.adopt(members)
    if jobs.running:
        log.info("of an earlier command: %s", ", ".join(f"member {m}, job {j.job_id}" for m, j in jobs.running.items()))
    waiting = [member for member in members if member not in jobs.running]
    outcomes: dict[int, Outcome] = {}
    tries: Counter[int] = Counter()
    try:
        while waiting or jobs.running:
            places = jobs.slots - len(jobs.running)
            now, waiting = waiting[:places], waiting[places:]
            if now:
                outcomes |= _submitted(jobs, now, outcomes, log)
            on_poll()
            for outcome in jobs.ended():
                outcomes[outcome.member] = outcome
                remedy = ""
                if outcome.lost and tries[outcome.member] < config.ensemble.retries:
                    tries[outcome.member] += 1
                    waiting.append(outcome.member)
                    remedy = f", submitted again ({tries[outcome.member]} of {config.ensemble.retries})"
                if outcome.problem:
                    log.warning("member %d%s: %s", outcome.member, remedy, outcome.problem)
            if jobs.running:
                time.sleep(_POLL_S)
    except BaseException:
        if jobs.running:
            log.warning("%s", jobs.leave())
        raise
    return [outcomes[member] for member in members]


def _submitted(jobs: Jobs, members: Sequence[int], before: dict[int, Outcome], log: StageLog) -> dict[int, Outcome]:
    """Submit jobs; return the outcomes of members whose second job was refused, which must not hurt the others."""
    try:
        jobs.submit(members)
    except LauncherError as error:
        if any(member not in before for member in members):
            raise
        log.warning("%s", error)
        return {m: Outcome(m, f"{before[m].problem}\n    and then {error}") for m in members}
    return {}
