"""Predict: members and `test.zarr`, `survey.zarr` in; catalogues out. One process, or many under MPI."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import PredictionError, StarnetError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.networks import Member, Moments, TrainedOn, describe_members, load_member
from starnet_hpc.predict.joining import join
from starnet_hpc.predict.places import best_file, chosen_device
from starnet_hpc.predict.ranks import Ranks, started_ranks
from starnet_hpc.predict.reading import Read, read_ahead
from starnet_hpc.predict.reconstruction import compared, wanted_reconstruction
from starnet_hpc.predict.sensitivity import keep_sensitivity
from starnet_hpc.predict.sharing import share
from starnet_hpc.predict.tasks import Task, wanted_tasks
from starnet_hpc.predict.units import NO_VELOCITY, fold, read_unit, unit_path, write_unit
from starnet_hpc.predict.velocity import moments_at_rest, wanted_rest_frame
from starnet_hpc.progress import StageLog, stage_log

_MOST_LISTED = 20


def predict(config: ExperimentConfig, *, only: str | None = None) -> list[Path]:
    """Predict every store that is there; return the FITS catalogues.

    Args:
        config: of the experiment.
        only: name of a store to leave all others out for; `valid` calibrates.

    Raises:
        MissingInputError: members or stores are missing.
        StoreMismatchError: members were trained for other pixels, or differ in what they were trained on.
        PredictionError: some units failed; the others are kept, and a rerun does only what failed.
        LauncherError: the MPI launcher and the MPI library do not belong together.
    """
    with started_ranks() as ranks, stage_log("predict", config.run_dir, rank=ranks.rank) as log:
        device = chosen_device(config)
        # Threads change the order of sums inside a network, so their number is part of the recipe, not of the machine.
        torch.set_num_threads(config.predict.threads)
        if device == "cpu":
            keep_freed_memory()  # the activations of one batch are those of the next
        digests, trained_on = ranks.agree(
            lambda: describe_members([best_file(config, m) for m in range(config.ensemble.members)])
        )
        rest = wanted_rest_frame(config, ranks)
        reconstruction = ranks.agree(lambda: wanted_reconstruction(config, trained_on))
        tasks = ranks.agree(lambda: wanted_tasks(config, digests, trained_on, device, rest, reconstruction, only))
        if ranks.size > 1:
            log.info("%d ranks", ranks.size)
        failures: list[str] = []
        calibrated = True
        for task in tasks:
            failed = _predict_store(config, task, ranks, device, trained_on, log)
            failures += failed
            calibrated = calibrated and not (failed and task.name == "valid")
            if calibrated and not failed:
                ranks.first_does(join, config, task, trained_on, log)
            if task.name == "test" and not failed:
                ranks.first_does(keep_sensitivity, config, task, trained_on, device, log)
        ranks.first_does(_raise_failures, failures)
        return [config.catalogue(task.name) for task in tasks if task.name != "valid"]


def _predict_store(
    config: ExperimentConfig, task: Task, ranks: Ranks, device: str, trained_on: TrainedOn, log: StageLog
) -> list[str]:
    """Predict the units of one store that are not there yet; every rank takes part, and gets all ranks' failures."""
    task.folder.mkdir(parents=True, exist_ok=True)
    todo = ranks.gather(_not_done(task) if ranks.first else [])[0]  # one rank's view of the file system is everyone's
    mine = share(ranks.rank, ranks.size, len(todo), config.ensemble.members, config.predict.ranks_per_shard)
    line = ranks.line(mine.line)
    # Who has no unit to do needs no members: a rerun with nothing left to do is quick.
    members = ranks.agree(lambda: [load_member(best_file(config, m), device) for m in mine.members if mine.units])
    tellurics = load_instrument(config.instrument).tellurics()
    failures: list[str] = []
    units = [task.rows(todo[number]) for number in mine.units]
    title = f"{task.name}: {config.ensemble.members} members" + (", first rank's share" if ranks.size > 1 else "")
    with log.bar(title, sum(map(len, units)), "spectra") as bar, closing(read_ahead(task.store, units)) as reads:
        for number, rows, read in zip(mine.units, units, reads, strict=True):
            slots, velocity, problem = _attempt(task, read, members, tellurics, config, device)
            if not line.failed(problem is not None):
                total = line.reduce(slots)
                if total is not None:
                    problem = _keep(task, todo[number], total, velocity, read, trained_on)
            if problem is not None:
                failures.append(f"rows {rows.start}-{rows.stop - 1} of {task.store.path}: {problem}")
            bar.advance(len(rows))
    # Ranks that share a unit may have met the same obstacle.
    return list(dict.fromkeys(message for rank in ranks.gather(failures) for message in rank))


def _not_done(task: Task) -> list[int]:
    """Return the units that are not there, or not whole, or of another recipe."""
    return [unit for unit in range(task.units) if read_unit(unit_path(task.folder, unit), task.recipe) is None]


def _raise_failures(failures: list[str]) -> None:
    if failures:
        shown = [*failures[:_MOST_LISTED], *([f"... {len(failures)} in all"] if len(failures) > _MOST_LISTED else [])]
        raise PredictionError(
            "these units failed, all others are kept; run the same command again:\n  " + "\n  ".join(shown)
        )


def _keep(
    task: Task, unit: int, slots: Moments, velocity: NDArray[np.float64], read: Read, trained_on: TrainedOn
) -> str | None:
    """Write a unit from its members' moments, its velocities and its spectra; return what went wrong, if anything did.

    The other ranks go on, and must not wait for this one.
    """
    try:
        table = fold(slots, velocity, keep_members=task.name == "valid")
        table = compared(table, task.reconstruction, read(), trained_on.label_names)
        write_unit(unit_path(task.folder, unit), table, task.recipe)
    except (StarnetError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _attempt(
    task: Task,
    read: Read,
    members: Sequence[Member],
    tellurics: NDArray[np.bool_],
    config: ExperimentConfig,
    device: str,
) -> tuple[Moments, NDArray[np.float64], str | None]:
    """Return the moments of this rank's members and the velocities that spectra were shifted by, or what went wrong.

    A failing unit must not stop the others.
    """
    try:
        found, velocity = moments_at_rest(
            task.rest,
            members,
            config.ensemble.members,
            read(),
            tellurics,
            batch_size=config.predict.batch_size,
            device=device,
        )
    except (StarnetError, OSError, RuntimeError, ValueError) as error:
        return np.empty(0), NO_VELOCITY, f"{type(error).__name__}: {error}"
    return found, velocity, None
