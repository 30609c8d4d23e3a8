"""Predict: members and `test.zarr`, `survey.zarr` in; catalogues out. One process, or many under MPI."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, PredictionError, StarnetError, StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.networks import Member, Moments, TrainedOn, describe_members, load_member
from starnet_hpc.predict.calibration import calibrate, write_calibration
from starnet_hpc.predict.catalogue import settings, write_fits, write_parquet
from starnet_hpc.predict.flagging import known_before
from starnet_hpc.predict.limits import find_limits, write_limits
from starnet_hpc.predict.places import best_file, calibration_file, chosen_device, limits_file, predictions_dir
from starnet_hpc.predict.ranks import Ranks, started_ranks
from starnet_hpc.predict.reading import Read, read_ahead
from starnet_hpc.predict.sharing import share
from starnet_hpc.predict.standards import Standards
from starnet_hpc.predict.units import (
    NO_VELOCITY,
    UnitTable,
    fold,
    joined,
    read_unit,
    unit_path,
    unit_rows,
    write_unit,
)
from starnet_hpc.predict.validation import ensemble_report
from starnet_hpc.predict.velocity import RestFrame, moments_at_rest, wanted_rest_frame
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Store, open_store, read_json, write_json

_STORES = ("valid", "test", "survey")
"""In this order: the first calibrates the sigmas of the others, and its units keep the members' answers."""
_MOST_LISTED = 20


@dataclass(frozen=True)
class _Task:
    """The prediction of one store."""

    name: str
    store: Store
    folder: Path
    """Where finished units lie."""
    units: int
    recipe: str
    header: dict[str, tuple[str | int, str]]
    rest: RestFrame | None
    """What shifts spectra to rest before the members see them; None: nothing does."""


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
    with started_ranks() as ranks, _log(config, ranks) as log:
        device = chosen_device(config)
        # Threads change the order of sums inside a network, so their number is part of the recipe, not of the machine.
        torch.set_num_threads(config.predict.threads)
        if device == "cpu":
            keep_freed_memory()  # the activations of one batch are those of the next
        digests, trained_on = ranks.agree(
            lambda: describe_members([best_file(config, m) for m in range(config.ensemble.members)])
        )
        rest = wanted_rest_frame(config, ranks)
        tasks = ranks.agree(lambda: _tasks(config, digests, trained_on, device, rest, only))
        if ranks.size > 1:
            log.info("%d ranks", ranks.size)
        failures: list[str] = []
        calibrated = True
        for task in tasks:
            failed = _predict_store(config, task, ranks, device, log)
            failures += failed
            calibrated = calibrated and not (failed and task.name == "valid")
            if calibrated and not failed:
                ranks.first_does(_join, config, task, trained_on, log)
        ranks.first_does(_raise_failures, failures)
        return [config.catalogue(task.name) for task in tasks if task.name != "valid"]


def is_predicted(config: ExperimentConfig) -> bool:
    """Return whether every store that is there has its catalogue, made with the members and settings as they are.

    Raises:
        MissingInputError: members or stores are missing.
        StoreMismatchError: members were trained for other pixels, or differ in what they were trained on.
    """
    marks = [predictions_dir(config) / name / "catalogue.json" for name in _names(config) if name != "valid"]
    if not all(mark.exists() for mark in marks):
        return False  # without looking for templates, which takes time
    digests, trained_on = describe_members([best_file(config, m) for m in range(config.ensemble.members)])
    rest, wanted = wanted_rest_frame(config, Ranks(None)), config.predict.device
    # A login node need not have the GPU that has predicted.
    return any(
        all(_is_kept(config, task, trained_on) for task in _tasks(config, digests, trained_on, device, rest, None))
        for device in (("cpu", "cuda") if wanted == "auto" else (wanted,))
    )


@contextmanager
def _log(config: ExperimentConfig, ranks: Ranks) -> Iterator[StageLog]:
    name = "predict" if ranks.first else f"predict-rank{ranks.rank}"
    with stage_log(name, config.run_dir, quiet=not ranks.first) as log:
        try:
            yield log
        except Exception as error:
            if not ranks.first:  # what it says on the screen may be lost when all ranks are ended
                log.warning("%s: %s", type(error).__name__, error)
            raise


def _predict_store(config: ExperimentConfig, task: _Task, ranks: Ranks, device: str, log: StageLog) -> list[str]:
    """Predict the units of one store that are not there yet; every rank takes part, and gets all ranks' failures."""
    task.folder.mkdir(parents=True, exist_ok=True)
    todo = [unit for unit in range(task.units) if read_unit(unit_path(task.folder, unit), task.recipe) is None]
    todo = ranks.gather(todo)[0]  # one rank's view of the file system decides for all
    mine = share(ranks.rank, ranks.size, len(todo), config.ensemble.members, config.predict.ranks_per_shard)
    line = ranks.line(mine.line)
    # Who has no unit to do needs no members: a rerun with nothing left to do is quick.
    members = ranks.agree(lambda: [load_member(best_file(config, m), device) for m in mine.members if mine.units])
    tellurics = load_instrument(config.instrument).tellurics()
    failures: list[str] = []
    units = [unit_rows(task.store, todo[number], config.predict.shard_rows) for number in mine.units]
    title = f"{task.name}: {config.ensemble.members} members" + (", first rank's share" if ranks.size > 1 else "")
    with log.bar(title, sum(map(len, units)), "spectra") as bar, closing(read_ahead(task.store, units)) as reads:
        for number, rows, read in zip(mine.units, units, reads, strict=True):
            slots, velocity, problem = _attempt(task, read, members, tellurics, config, device)
            if not line.failed(problem is not None):
                total = line.reduce(slots)
                if total is not None:
                    problem = _keep(task, todo[number], total, velocity)
            if problem is not None:
                failures.append(f"rows {rows.start}-{rows.stop - 1} of {task.store.path}: {problem}")
            bar.advance(len(rows))
    # Ranks that share a unit may have met the same obstacle.
    return list(dict.fromkeys(message for rank in ranks.gather(failures) for message in rank))


def _raise_failures(failures: list[str]) -> None:
    if failures:
        shown = [*failures[:_MOST_LISTED], *([f"... {len(failures)} in all"] if len(failures) > _MOST_LISTED else [])]
        raise PredictionError(
            "these units failed, all others are kept; run the same command again:\n  " + "\n  ".join(shown)
        )


def _keep(task: _Task, unit: int, slots: Moments, velocity: NDArray[np.float64]) -> str | None:
    """Write a unit from its members' moments and its velocities; return what went wrong, if anything did.

    The other ranks go on, and must not wait for this one.
    """
    try:
        table = fold(slots, velocity, keep_members=task.name == "valid")
        write_unit(unit_path(task.folder, unit), table, task.recipe)
    except (StarnetError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _attempt(
    task: _Task,
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


def _tasks(
    config: ExperimentConfig,
    digests: list[str],
    trained_on: TrainedOn,
    device: str,
    rest: RestFrame | None,
    only: str | None,
) -> list[_Task]:
    names = _names(config) if only is None else [only]
    return [_task(config, name, digests, trained_on, device, rest) for name in names]


def _names(config: ExperimentConfig) -> list[str]:
    """Return the names of the stores to predict."""
    names = [name for name in _STORES if (config.store(name) / "zarr.json").exists()]
    if config.survey is not None and "survey" not in names:
        raise MissingInputError(
            f"{config.store('survey')}: no such store; make it first with `starnet-hpc observe CONFIG`"
        )
    names += config.predict.other_tests
    if not names:
        raise MissingInputError(f"{config.run_dir}: neither test.zarr nor survey.zarr is there; nothing to predict")
    return names


def _task(
    config: ExperimentConfig,
    name: str,
    digests: list[str],
    trained_on: TrainedOn,
    device: str,
    rest: RestFrame | None,
) -> _Task:
    store = open_store(config.store(name), made_by="observe" if name == "survey" else "augment")
    if provenance.digest_array(store.wavelength) != trained_on.wavelength_digest:
        raise StoreMismatchError(
            f"{store.path} and the members have different pixels: train members for this instrument, or observe again"
        )
    members = provenance.digest_recipe({"members": digests})
    recipe = {
        "store": store.content_digest,
        "members": members,
        "batch_size": config.predict.batch_size,
        "threads": config.predict.threads,
        "unit": config.predict.shard_rows,
        "device": device,
        **({} if rest is None else {"rest_frame": rest.digest}),
    }
    header: dict[str, tuple[str | int, str]] = {
        "EXPNAME": (config.name, "experiment"),
        "SEED": (str(config.seed), "seed of the experiment"),
        "NMEMBERS": (config.ensemble.members, "networks in the ensemble"),
        "MEMBERS": (members, "digest of the members"),
        "INPUT": (store.path.name, "store that was predicted"),
        "INPUTDIG": (store.content_digest, "digest of that store"),
        "TRAINDIG": (trained_on.train_digest, "digest of the training store"),
        "CREATOR": (f"starnet_hpc {provenance.software()['starnet_hpc']}", "software"),
        "CONFIG": (settings(config), "settings behind it, as JSON"),
    }
    if rest is not None:
        header["RVLIMIT"] = (f"{rest.limit_kms:g}", "km/s: vrad_ccf was searched up to this")
    units = -(-len(store) // config.predict.shard_rows)
    folder = predictions_dir(config) / name
    return _Task(name, store, folder, units, provenance.digest_recipe(recipe), header, rest)


def _join(config: ExperimentConfig, task: _Task, trained_on: TrainedOn, log: StageLog) -> None:
    """Write the catalogue from all units (of validation spectra: the calibration), unless it is there already."""
    if task.name == "valid":
        _calibrate(config, task, trained_on, log)
        return
    path = config.catalogue(task.name)
    mark = task.folder / "catalogue.json"
    if not (config.store("valid") / "zarr.json").exists():
        log.warning(
            "%s is not there: sigmas are as claimed, and nothing says which rows are unusual", config.store("valid")
        )
    standards = _standards(config, trained_on)
    header = task.header | standards.header(trained_on.label_names)
    recipe = _recipe_of_catalogue(config, task, standards, trained_on)
    if _is_joined(config, task, recipe):
        log.info("%s: complete already, %d rows", path, len(task.store))
        return
    mark.unlink(missing_ok=True)  # from here on what lies there is between two recipes
    table = _whole(task)
    columns = standards.columns(
        _identifiers(task),
        table,
        *known_before(task.store),
        trained_on,
        task.rest,
        n_members=config.ensemble.members,
        with_correlations=config.predict.correlations,
    )
    write_parquet(path.with_suffix(".parquet"), columns, header)
    write_fits(path, columns, header)
    write_json(mark, {"recipe": recipe})
    (flagged,) = (np.count_nonzero(column.values) for column in columns if column.name == "flags")
    log.info("%s: %d rows, %d of them flagged", path, len(task.store), flagged)


def _standards(config: ExperimentConfig, trained_on: TrainedOn) -> Standards:
    validated = (config.store("valid") / "zarr.json").exists()
    return Standards.of(config, len(trained_on.label_names), validated=validated)


def _recipe_of_catalogue(config: ExperimentConfig, task: _Task, standards: Standards, trained_on: TrainedOn) -> str:
    return provenance.digest_recipe(
        {
            "task": task.recipe,
            "calibration": standards.calibration.factor.tolist(),
            "limits": repr((standards.limits.epistemic_share.tolist(), standards.limits.distance)),
            "header": task.header | standards.header(trained_on.label_names),
        }
    )


def _is_kept(config: ExperimentConfig, task: _Task, trained_on: TrainedOn) -> bool:
    """Return whether the calibration (of validation spectra) or the catalogue of a store is there and up to date."""
    if task.name == "valid":
        return _is_calibrated(config, task)
    return _is_joined(config, task, _recipe_of_catalogue(config, task, _standards(config, trained_on), trained_on))


def _is_joined(config: ExperimentConfig, task: _Task, recipe: str) -> bool:
    path, mark = config.catalogue(task.name), task.folder / "catalogue.json"
    there = path.exists() and path.with_suffix(".parquet").exists() and mark.exists()
    return there and read_json(mark).get("recipe") == recipe


def _is_calibrated(config: ExperimentConfig, task: _Task) -> bool:
    mark, report = task.folder / "calibrated.json", predictions_dir(config) / "validation.json"
    there = all(path.exists() for path in (calibration_file(config), limits_file(config), report, mark))
    return there and read_json(mark).get("recipe") == task.recipe


def _calibrate(config: ExperimentConfig, task: _Task, trained_on: TrainedOn, log: StageLog) -> None:
    """Find the factors that make sigma cover on the validation spectra, and what these say of the ensemble."""
    mark, report = task.folder / "calibrated.json", predictions_dir(config) / "validation.json"
    if _is_calibrated(config, task):
        return
    mark.unlink(missing_ok=True)
    table = _whole(task)
    ensemble, names = table.combined, trained_on.label_names
    truth, template = task.store.labels(names), task.store.column("template")
    found, limits = calibrate(ensemble.mean, ensemble.total, truth, template), find_limits(ensemble, table.distance)
    write_calibration(calibration_file(config), found, names)
    write_limits(limits_file(config), limits, names)
    told = ensemble_report(table.members, ensemble, truth, template, trained_on)
    write_json(report, {"members": task.header["MEMBERS"][0], **told})
    write_json(mark, {"recipe": task.recipe})
    log.info(
        "sigma times %s, from %d validation spectra",
        ", ".join(f"{f:.2f} ({n})" for f, n in zip(found.factor, names, strict=True)),
        found.rows,
    )
    if np.isnan(limits.distance):
        log.warning(
            "not all members know how far a spectrum is from theirs (an earlier version trained them): no row is "
            "flagged UNLIKE_TRAINING"
        )
    for a, b in told["diversity"]["nearly_same"] if "diversity" in told else []:
        log.warning("members %d and %d are nearly the same: their spread says little of what is not known", a, b)


def _whole(task: _Task) -> UnitTable:
    """Return the prediction of all rows of a store, joined from its units.

    Raises:
        PredictionError: units are missing.
    """
    tables = [read_unit(unit_path(task.folder, unit), task.recipe) for unit in range(task.units)]
    whole = [table for table in tables if table is not None]
    if len(whole) != task.units or sum(table.mean.shape[0] for table in whole) != len(task.store):
        raise PredictionError(
            f"{task.folder}: {len(whole)} of {task.units} units are there; run the same command again"
        )
    return joined(whole)


def _identifiers(task: _Task) -> NDArray[np.object_]:
    if task.store.has("id"):
        identifiers = task.store.column("id")
        if len(set(identifiers)) != identifiers.size:
            raise PredictionError(
                f"{task.store.path}: identifiers are not unique; run `starnet-hpc observe CONFIG` again"
            )
        return identifiers
    return np.array([f"{task.name}-{row:07d}" for row in range(len(task.store))], dtype=object)
