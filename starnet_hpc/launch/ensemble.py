"""Ensemble: every member trained, here or as jobs; those that are trained already are left alone."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import InterruptedRunError, JobFailedError, StarnetError
from starnet_hpc.launch.jobs import Outcome
from starnet_hpc.launch.members import run_members
from starnet_hpc.progress import Bar, stage_log
from starnet_hpc.train import is_trained, train
from starnet_hpc.train.board import check_board


def train_ensemble(
    config: ExperimentConfig, executor: str | None = None, members: Sequence[int] | None = None
) -> list[Path]:
    """Train members that are not trained yet; return their `best.pt` files.

    Args:
        config: of the experiment.
        executor: `debug`, `local` or `slurm`; by default the configuration's.
        members: which ones; by default all.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
        JobFailedError: with the message of every member that did not finish; the others are kept.
    """
    executor = executor or config.ensemble.executor
    everyone = range(config.ensemble.members) if members is None else members
    with stage_log("ensemble", config.run_dir) as log:
        missing = [member for member in everyone if not is_trained(config, member)]
        check_board(config.train.tensorboard and bool(missing))
        if not missing:
            log.info("all %d members are trained already", len(everyone))
        elif executor == "debug":
            _raise_failures([_trained_here(config, member) for member in missing])
        else:
            log.info(
                "members %s as %s jobs of %d processes, %d at a time",
                ", ".join(map(str, missing)),
                executor,
                config.train.nodes * config.train.gpus_per_node,
                len(missing) if executor == "slurm" else min(config.ensemble.parallel, len(missing)),
            )
            config = _with_threads(config, executor)
            before = _epochs_done(config, missing)
            total = config.train.epochs * len(missing)
            with log.bar("training", total, "epochs", done=before) as bar:
                follower = _Follower(config, missing, bar, before)
                outcomes = run_members(config, missing, executor, log, follower.look)
                follower.look()
            _raise_failures(outcomes)
    return [config.member_dir(member) / "best.pt" for member in everyone]


def _trained_here(config: ExperimentConfig, member: int) -> Outcome:
    """Train a member in this process; one that fails does not stop the others, a signal does."""
    try:
        train(config, member)
    except InterruptedRunError:
        raise
    except StarnetError as error:
        return Outcome(member, str(error))
    return Outcome(member, None)


def _raise_failures(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.problem]
    if failed:
        raise JobFailedError(
            f"{len(failed)} of {len(outcomes)} members did not finish; run the same command again to train only those\n"
            + "\n".join(f"  member {outcome.member}: {outcome.problem}" for outcome in failed)
        )


def _with_threads(config: ExperimentConfig, executor: str) -> ExperimentConfig:
    """Return the configuration with this machine's cores shared among all processes that train at the same time."""
    if executor == "slurm" or config.train.threads is not None:
        return config
    processes = config.train.gpus_per_node * config.ensemble.parallel
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    return config.model_copy(update={"train": config.train.model_copy(update={"threads": threads})})


def _epochs_done(config: ExperimentConfig, members: list[int]) -> int:
    return sum(len(_history(config, member)) for member in members)


def _history(config: ExperimentConfig, member: int) -> list[dict[str, str]]:
    try:
        with (config.member_dir(member) / "history.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError:  # not there yet, or out of reach for a moment: it is only shown
        return []


class _Follower:
    """Shows the epochs that jobs have written to their histories."""

    def __init__(self, config: ExperimentConfig, members: list[int], bar: Bar, shown: int) -> None:
        self._config, self._members, self._bar, self._shown = config, members, bar, shown

    def look(self) -> None:
        histories = [_history(self._config, member) for member in self._members]
        done = sum(map(len, histories))
        losses = [history[-1]["valid_loss"] for history in histories if history]
        if done > self._shown:
            self._bar.advance(done - self._shown, "valid loss " + ", ".join(losses))
            self._shown = done
