"""The whole chain as jobs of Slurm, each waiting for the one before; what is done, queued or running is left alone."""

import shlex
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starnet_hpc import provenance
from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.errors import JobFailedError, MissingInputError, StoreMismatchError
from starnet_hpc.ingest import ingest
from starnet_hpc.launch import controller
from starnet_hpc.launch.controller import JobState
from starnet_hpc.launch.decisions import Decisions, decide, waits_for
from starnet_hpc.launch.offers import check_cluster
from starnet_hpc.launch.rundir import claim, refuse_other
from starnet_hpc.launch.scripts import STAGES, Script, script_for
from starnet_hpc.launch.submissions import ChainJob, note_chain, noted, noted_chain
from starnet_hpc.launch.waiting import chain_lines, follow, print_lines
from starnet_hpc.observe import observe
from starnet_hpc.predict import is_predicted
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import only_writer, state_of, write_atomically
from starnet_hpc.train import is_trained

_STORES = ("grid", "train", "valid", "test")
_NOT_IN_RECIPE: Any = {
    "cluster": True,
    "ensemble": {"executor", "parallel", "retries"},
    "augment": {"workers", "scheduler"},
}
"""How jobs are run, not what comes out."""


def submit_chain(config: ExperimentConfig, *, wait: bool = False) -> None:
    """Submit what is missing of prepare (ingest, augment), members, predict and evaluate; print a table of the jobs.

    A survey's files are observed first, in this process: what is wrong with them is told before hours of training.

    Args:
        config: of the experiment.
        wait: stay until all jobs have ended, and show how far they are.

    Raises:
        ConfigError: the cluster does not offer what the section `cluster` asks for.
        LauncherError: Slurm does not answer, or refuses a job.
        StoreMismatchError: jobs of another configuration are at work in this run directory.
        JobFailedError: with `wait`, a job did not finish.
        StarnetError: whatever `observe` raises.
    """
    check_cluster(config)
    claim(config)
    folder = config.run_dir / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (config.run_dir / "logs").mkdir(exist_ok=True)
    if config.survey is not None:
        observe(config)
    with stage_log("run", config.run_dir) as log:
        with only_writer(folder / "chain.json"):
            missing = missing_of(config, confirm=True)
            jobs, states = _known_jobs(config)
            _refuse_other_recipe(config, missing, jobs, states)
            made = decide(missing, jobs, states)
            for number, why in made.cancel.items():
                log.info("job %s is cancelled: %s", number, why)
            controller.cancel(made.cancel)
            _submit(config, missing, made, log)
        if not missing:
            log.info("nothing is missing; the report is %s", config.run_dir / "report.html")
        elif not made.submit:
            log.info("all that is missing is queued or running already")
        print_lines(chain_lines(config))
        if wait and missing:
            follow(config, log)
            _raise_failures(config)


def show_chain(config: ExperimentConfig) -> None:
    """Print what `submit_chain` would do now: every script and every command; nothing is written or submitted.

    Raises:
        ConfigError, LauncherError, StoreMismatchError: as `submit_chain`.
    """
    write = sys.stdout.write
    refuse_other(config)
    here = controller.is_here()
    if here:
        check_cluster(config)
    else:
        write("# There is no Slurm here: whether the cluster offers this, and what is queued already, is not known.\n")
    if config.survey is not None and state_of(config.store("survey")).state != "complete":
        write(f"# In this process: starnet-hpc observe {shlex.quote(str(_settings(config)))}\n")
    missing = missing_of(config, confirm=False)
    jobs, states = _known_jobs(config) if here else ({}, {})
    _refuse_other_recipe(config, missing, jobs, states)
    made = decide(missing, jobs, states)
    for key, number in made.keep.items():
        write(f"# {key}: job {number} is {states[number].state.lower()} already\n")
    for number, why in made.cancel.items():
        write(f"# {why}\nscancel {number}\n")
    for script, keys in _scripts(config, made):
        before = waits_for(script.stage, missing)
        after = [made.keep.get(key, f"$job_of_{before}") for key in missing if key.partition("/")[0] == before]
        command = ("sbatch", "--parsable", *_dependency(dict.fromkeys(after)), str(script.path))
        write(f"\n# --- {', '.join(keys)}: {script.path}\n{script.text}\n# --- and\n{' '.join(command)}\n")
    if not made.submit:
        write("# Nothing is to be submitted.\n")


def missing_of(config: ExperimentConfig, *, confirm: bool) -> list[str]:
    """Return the keys of stages and members that are not done; after a stage that is not, all others count as such.

    Args:
        config: of the experiment.
        confirm: have finished stores compared with the configuration, as each stage does it.
    """
    everyone = [f"members/{member}" for member in range(config.ensemble.members)]
    if any(state_of(config.store(name)).state != "complete" for name in _STORES):
        return ["prepare", *everyone, "predict", "evaluate"]
    if confirm:
        ingest(config)
        augment(config)
    missing = [f"members/{member}" for member in range(config.ensemble.members) if not is_trained(config, member)]
    if missing or not _is_predicted(config):
        return [*missing, "predict", "evaluate"]
    return [] if _is_evaluated(config) else ["evaluate"]


def recipe_of(config: ExperimentConfig) -> str:
    """Return the digest of what comes out of the chain."""
    return provenance.digest_recipe(config.model_dump(mode="json", exclude=_NOT_IN_RECIPE))


def _is_predicted(config: ExperimentConfig) -> bool:
    try:
        return is_predicted(config)
    except MissingInputError:  # a survey that nobody has observed yet (a dry run)
        return False


def _is_evaluated(config: ExperimentConfig) -> bool:
    report = config.run_dir / "report.html"
    inputs = [path for path in config.run_dir.glob("*catalogue.fits") if path.exists()]
    return report.exists() and all(report.stat().st_mtime >= path.stat().st_mtime for path in inputs)


def _known_jobs(config: ExperimentConfig) -> tuple[dict[str, ChainJob], dict[str, JobState]]:
    """Return the jobs that were submitted for this run, those of `ensemble` included, and their states."""
    folder = config.run_dir / "jobs"
    jobs = noted_chain(folder)
    for key, job in jobs.items():
        if job.job is None and (number := controller.submitted_as(job.token)) is not None:
            jobs[key] = replace(job, job=number if job.member is None else f"{number}_{job.member}")
    states = controller.states(job.job for job in jobs.values() if job.job is not None)
    theirs = noted(folder)
    states |= controller.states(one.job for one in theirs.values())
    for member, one in theirs.items():
        key = f"members/{member}"
        mine = jobs.get(key)
        if states[one.job].alive and not (mine and mine.job and states[mine.job].alive):
            log = str(folder / f"{one.job}_0_log.err")
            jobs[key] = ChainJob("members", member, one.job, "", recipe_of(config), (), log, "")
    return jobs, states


def _refuse_other_recipe(
    config: ExperimentConfig, missing: Sequence[str], jobs: Mapping[str, ChainJob], states: Mapping[str, JobState]
) -> None:
    recipe = recipe_of(config)
    for job in jobs.values():
        if job.job is not None and states[job.job].alive and job.recipe != recipe:
            raise StoreMismatchError(
                f"{job.key} is being made with another configuration by the Slurm job {job.job}: wait for it, or end "
                f"it with `scancel {job.job}`"
            )


def _scripts(config: ExperimentConfig, made: Decisions) -> list[tuple[Script, list[str]]]:
    """Return the scripts to submit, and what each does."""
    found = []
    for stage in STAGES:
        keys = [key for key in made.submit if key.partition("/")[0] == stage]
        if keys:
            members = [int(key.partition("/")[2]) for key in keys] if stage == "members" else []
            found.append((script_for(config, stage, _settings(config), members), keys))
    return found


def _submit(config: ExperimentConfig, missing: Sequence[str], made: Decisions, log: StageLog) -> None:
    settings, folder = _settings(config), config.run_dir / "jobs"
    _write(settings, resolved_yaml(config))
    queued = dict(made.keep)
    for script, keys in _scripts(config, made):
        _write(script.path, script.text)
        before = waits_for(script.stage, missing)
        after = tuple(queued[key] for key in missing if key.partition("/")[0] == before)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        members = [int(key.partition("/")[2]) if "/" in key else None for key in keys]
        token = f"starnet-{uuid.uuid4().hex}"
        meant = [ChainJob(script.stage, m, None, token, recipe_of(config), after, "", when) for m in members]
        # Noted before: should this command end now, the next one finds the job by its token.
        note_chain(folder, *meant)
        number = controller.submit(script.path, token, *_dependency(after))
        numbers = [number if one.member is None else f"{number}_{one.member}" for one in meant]
        queued |= {one.key: job for one, job in zip(meant, numbers, strict=True)}
        done = [replace(o, job=job, log=str(script.log_of(job))) for o, job in zip(meant, numbers, strict=True)]
        note_chain(folder, *done)
        log.info("%s: job %s%s", ", ".join(keys), number, f", after {', '.join(after)}" if after else "")


def _dependency(after: Sequence[str] | Mapping[str, None]) -> list[str]:
    """Return the options by which a job waits for others, and ends if one of them fails."""
    return [f"--dependency=afterok:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []


def _settings(config: ExperimentConfig) -> Path:
    """Return the file that jobs read: `config.yaml` follows the last command, and jobs may wait for days."""
    digest = provenance.digest_recipe({"text": resolved_yaml(config)})[:12]
    return config.run_dir / "jobs" / f"config-{digest}.yaml"


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _raise_failures(config: ExperimentConfig) -> None:
    """Raise if a stage is not done although its jobs have ended."""
    every = chain_lines(config)
    completed = {line.key for line in every if line.state == "COMPLETED"}
    limit = time.monotonic() + 15  # a slow file system may show results some seconds later
    while missing := missing_of(config, confirm=False):
        if time.monotonic() >= limit or not completed.intersection(missing):
            break
        time.sleep(1)
    if missing:
        lines = [line for line in every if line.key in missing and line.note]
        raise JobFailedError(
            f"{', '.join(missing)} did not finish; run the same command again to submit only that\n"
            + "\n".join(f"  {line.key}, job {line.job}, {line.state}: {line.note}" for line in lines)
        )
