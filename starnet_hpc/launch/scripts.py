"""What sbatch is given for each stage of the chain: whole scripts, which people can read, run and change."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.config.cluster import StageResources

STAGES = ("prepare", "members", "predict", "evaluate")
"""Jobs of the chain, in the order in which each waits for the one before."""

_LOST = "75|134|135|137|139|143|23[2-6]"
"""Exit codes of processes that were killed or have crashed (SIGABRT, SIGBUS, SIGKILL, SIGSEGV); SIGTERM is what srun
sends to the other ranks of one that is lost, and theirs is the larger code. 75 is srun's own (SLURM_EXIT_ERROR), as
where the controller is away; 232 to 236 end Slurm's numbers for a node that does not answer (1000 to 1004)."""

_PATIENCE = """\
# Slurm's controller may be away for a minute: it is asked again, ever later.
patiently() {
    local wait
    for wait in 1 2 4 8 16 30; do "$@" && return; sleep $wait; done
    "$@"
}
queue_again() { patiently scontrol requeue "$SLURM_JOB_ID"; }
export SLURM_EXIT_ERROR=75  # what srun ends with if it is Slurm that fails
"""
_GOES_ON = """\
# Before the time limit Slurm sends USR1 to this shell: the job is queued again, and goes on with what is not done yet.
trap queue_again USR1
{command} &
work=$! code=0
wait $work || code=$?
# A signal to this shell ends `wait`, not the work.
while kill -0 $work 2>/dev/null; do code=0; wait $work || code=$?; done
"""
_LIVES = """\
# Slurm does not bring back a job that ends by itself because it is being preempted. A process that was killed or has
# crashed, or that Slurm could not start, is worth another try, unless the whole job is being ended (`scancel`); what
# fails with a message would fail again.
if ((code)) && facts=$(patiently scontrol show job "$SLURM_JOB_ID"); then
    state=${{facts#*JobState=}} state=${{state%%[^A-Z_]*}}
    if [[ $state != RUNNING && $state != SIGNALING ]]; then  # SIGNALING: on its way is what has ended the work
        echo "Slurm says that this job is $state: it is not queued again from here"
    elif [[ $facts == *PreemptTime=[0-9]* ]]; then
        queue_again
    else
        case $code in {lost})
            echo . >> {tries}
            if (($(wc -l < {tries}) <= {retries})); then queue_again; fi ;;
        esac
    fi
fi
exit $code
"""


@dataclass(frozen=True)
class Script:
    """The job of one stage."""

    stage: str
    text: str
    path: Path
    """Where it is written before it is submitted."""
    log: str
    """Its log, with %j, or %A and %a, for the job's number."""

    def log_of(self, job: str) -> Path:
        """Return the log of a job: `12`, or `12_0` in an array."""
        array, _, index = job.partition("_")
        return Path(self.log.replace("%A", array).replace("%a", index).replace("%j", job))


def script_for(config: ExperimentConfig, stage: str, settings: Path, members: Sequence[int] = ()) -> Script:
    """Return the script of a stage.

    Args:
        config: of the experiment.
        stage: one of `STAGES`.
        settings: YAML file that its commands read.
        members: which ones (stage `members`).
    """
    cluster = config.cluster
    log = str(config.run_dir / "logs" / f"slurm-{stage}-{'%A_%a' if stage == 'members' else '%j'}.log")
    options = {
        "job-name": f"{config.name}-{stage}",
        "output": log,
        "open-mode": "append",
        "requeue": "",
        "account": cluster.account,
        **_resources(config, stage, members),
    }
    lines = [
        f"#SBATCH --{name}{f'={value}' if value != '' else ''}" for name, value in options.items() if value is not None
    ]
    body = _LIVES.format(
        lost=_LOST,
        tries=f"{shlex.quote(str(config.run_dir / 'jobs'))}/lost-$SLURM_JOB_ID",
        retries=config.ensemble.retries,
    )
    text = "\n".join(
        [
            "#!/bin/bash",
            f"# {stage} of {config.name}; `starnet-hpc run CONFIG --executor slurm` writes this file anew.",
            *lines,
            *cluster.setup,
            "set -uo pipefail",
            _PATIENCE + _commands(config, stage, settings) + body,
        ]
    )
    return Script(stage, text, config.run_dir / "jobs" / f"{stage}.sbatch", log)


def resources_of(config: ExperimentConfig, stage: str) -> StageResources:
    """Return what a stage's job asks for, with nothing left out but memory and partition."""
    cluster, training = config.cluster, config.train
    if stage == "members":
        return StageResources(
            nodes=training.nodes,
            tasks_per_node=training.gpus_per_node,
            cpus_per_task=cluster.cpus_per_task,
            gpus_per_node=training.gpus_per_node if cluster.gpus else 0,
            time=cluster.time,
            mem_gb=cluster.mem_gb,
            partition=cluster.partition,
            extra=cluster.extra,
        )
    asked: StageResources = getattr(cluster, stage)
    tasks = cluster.predict_ranks if stage == "predict" else 1
    return StageResources(
        nodes=asked.nodes,
        tasks_per_node=asked.tasks_per_node or tasks,
        cpus_per_task=asked.cpus_per_task or (config.predict.threads if stage == "predict" else cluster.cpus_per_task),
        gpus_per_node=asked.gpus_per_node,
        time=asked.time or cluster.time,
        mem_gb=asked.mem_gb or cluster.mem_gb,
        partition=asked.partition or cluster.partition,
        extra={**cluster.extra, **asked.extra},
    )


def _resources(config: ExperimentConfig, stage: str, members: Sequence[int]) -> dict[str, str | int | None]:
    asked, cluster = resources_of(config, stage), config.cluster
    gpus = f"{cluster.gpu_type}:{asked.gpus_per_node}" if cluster.gpu_type else asked.gpus_per_node
    to_all = stage == "members"  # all its processes stop together; the other stages are told through their shell
    return {
        "array": ",".join(map(str, members)) or None,
        "partition": asked.partition,
        "nodes": asked.nodes,
        "ntasks-per-node": asked.tasks_per_node,
        "cpus-per-task": asked.cpus_per_task,
        "gpus-per-node": gpus if asked.gpus_per_node else None,
        "mem": f"{asked.mem_gb:g}G" if asked.mem_gb else None,
        "time": asked.time,
        "signal": f"{'USR2' if to_all else 'B:USR1'}@{cluster.signal_delay_s}",
        **asked.extra,
    }


def _commands(config: ExperimentConfig, stage: str, settings: Path) -> str:
    python, file = shlex.quote(sys.executable), shlex.quote(str(settings))
    asked = resources_of(config, stage)
    mpi = f"--mpi={config.cluster.mpi} " if config.cluster.mpi else ""
    # srun does not take over the cores that sbatch was asked for. A process that is lost ends the others.
    srun = f"srun --kill-on-bad-exit=1 --cpus-per-task={asked.cpus_per_task} "
    if stage == "members":
        train = f'{python} -m starnet_hpc.train {file} --member "$SLURM_ARRAY_TASK_ID" --requeue'
        return f"code=0\n{srun}{train} || code=$?\n"
    if stage == "predict":
        return _GOES_ON.format(command=f"{srun}{mpi}{python} -m starnet_hpc.predict {file}")
    if stage == "evaluate":
        return _GOES_ON.format(command=f"{python} -m starnet_hpc.evaluate {file}")
    here = f"--set augment.scheduler=local --set augment.workers={asked.cpus_per_task}"
    ingest = f"{python} -m starnet_hpc.ingest {file} {here}"
    augment = f"exec {python} -m starnet_hpc.augment {file} {here}"
    if asked.nodes > 1:
        augment = f"exec {srun}{mpi}{python} -m starnet_hpc.augment {file} --set augment.scheduler=mpi"
    return _GOES_ON.format(command=f"({ingest} && {augment})")
