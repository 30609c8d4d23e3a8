"""Finished units become a catalogue, or (those of validation spectra) the calibration of all others."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import PredictionError
from starnet_hpc.networks import TrainedOn
from starnet_hpc.predict.calibration import Calibration, calibrate, write_calibration
from starnet_hpc.predict.catalogue import Column, as_text
from starnet_hpc.predict.flagging import known_before
from starnet_hpc.predict.limits import find_limits, write_limits
from starnet_hpc.predict.places import calibration_file, limits_file, validation_file
from starnet_hpc.predict.reconstruction import find_usual
from starnet_hpc.predict.standards import Standards, is_validated
from starnet_hpc.predict.tablefiles import write_catalogue
from starnet_hpc.predict.tasks import Task
from starnet_hpc.predict.units import UnitTable, joined, read_unit, unit_path
from starnet_hpc.predict.validation import ensemble_report
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import read_json, write_json

_BLOCK_ROWS = 1 << 16
"""So many rows of a catalogue are in memory at a time."""
_CATALOGUE_MARK, _CALIBRATION_MARK = "catalogue.json", "calibrated.json"
"""What was made of which predictions, beside these."""
_CALIBRATION_FORMAT = 2
"""Raised when the same predictions would give other factors or limits."""


def join(config: ExperimentConfig, task: Task, trained_on: TrainedOn, log: StageLog) -> None:
    """Write the catalogue from all units (of validation spectra: the calibration), unless it is there already."""
    if task.name == "valid":
        _calibrate(config, task, trained_on, log)
        return
    path, mark, names = config.catalogue(task.name), task.folder / _CATALOGUE_MARK, trained_on.label_names
    standards = _standards(config, task, trained_on)
    if not is_validated(config, _members(task)):
        log.warning(
            "%s is not there, nor a calibration of these members: sigmas are as claimed, and nothing says which rows "
            "are unusual",
            config.store("valid"),
        )
    header, recipe = task.header | standards.header(names), _recipe_of_catalogue(task, standards, names)
    if _is_joined(config, task, recipe):
        log.info("%s: complete already, %d rows", path, len(task.store))
        return
    mark.unlink(missing_ok=True)  # from here on what lies there is between two recipes
    flagged = 0

    def blocks() -> Iterator[list[Column]]:
        nonlocal flagged
        identifiers, (before, snr), start = _identifiers(task), known_before(task.store), 0
        for table in _blocks(task):
            here = slice(start, start + table.mean.shape[0])
            columns = standards.columns(
                identifiers[here],
                table,
                before[here],
                snr[here],
                trained_on,
                task.rest,
                n_members=config.ensemble.members,
                with_correlations=config.predict.correlations,
            )
            flagged += sum(int(np.count_nonzero(column.values)) for column in columns if column.name == "flags")
            start = here.stop
            yield columns

    write_catalogue(path, blocks(), header)
    write_json(mark, {"recipe": recipe})
    log.info("%s: %d rows, %d of them flagged", path, len(task.store), flagged)


def is_joined(config: ExperimentConfig, task: Task, trained_on: TrainedOn) -> bool:
    """Return whether what `join` makes of a store's predictions is there, and of these members and settings."""
    if task.name == "valid":
        return _is_calibrated(config, task)
    standards = _standards(config, task, trained_on)
    return _is_joined(config, task, _recipe_of_catalogue(task, standards, trained_on.label_names))


def _standards(config: ExperimentConfig, task: Task, trained_on: TrainedOn) -> Standards:
    return Standards.of(config, len(trained_on.label_names), validated=is_validated(config, _members(task)))


def _members(task: Task) -> str:
    """Return the digest of the members, all together."""
    return str(task.header["MEMBERS"][0])


def _recipe_of_catalogue(task: Task, standards: Standards, label_names: Sequence[str]) -> str:
    calibration, limits = standards.calibration, standards.limits
    return provenance.digest_recipe(
        {
            "task": task.recipe,
            "calibration": [part.tolist() for part in (calibration.snr, calibration.factor, calibration.overall)],
            "limits": repr((limits.epistemic_share.tolist(), limits.distance, limits.usual)),
            "header": task.header | standards.header(label_names),
        }
    )


def _is_joined(config: ExperimentConfig, task: Task, recipe: str) -> bool:
    path, mark = config.catalogue(task.name), task.folder / _CATALOGUE_MARK
    there = path.exists() and path.with_suffix(".parquet").exists() and mark.exists()
    return there and read_json(mark).get("recipe") == recipe


def _is_calibrated(config: ExperimentConfig, task: Task) -> bool:
    mark = task.folder / _CALIBRATION_MARK
    made = calibration_file(config), limits_file(config), validation_file(config), mark
    return all(path.exists() for path in made) and read_json(mark).get("recipe") == _recipe_of_calibration(task)


def _recipe_of_calibration(task: Task) -> str:
    return provenance.digest_recipe({"task": task.recipe, "format": _CALIBRATION_FORMAT})


def _calibrate(config: ExperimentConfig, task: Task, trained_on: TrainedOn, log: StageLog) -> None:
    """Find the factors that make sigma cover on the validation spectra, and what these say of the ensemble."""
    if _is_calibrated(config, task):
        return
    mark = task.folder / _CALIBRATION_MARK
    mark.unlink(missing_ok=True)
    table = joined(list(_blocks(task)))
    ensemble, names = table.combined, trained_on.label_names
    truth, template = task.store.labels(names), task.store.column("template")
    _, snr = known_before(task.store)
    found = calibrate(ensemble.mean, ensemble.total, truth, snr, template)
    limits = find_limits(ensemble, table.distance, find_usual(table.leftovers, snr))
    write_calibration(calibration_file(config), found, names)
    write_limits(limits_file(config), limits, names)
    told = ensemble_report(table.members, ensemble, truth, template, trained_on)
    write_json(validation_file(config), {"members": _members(task), **told})
    write_json(mark, {"recipe": _recipe_of_calibration(task)})
    log.info(
        "sigma times %s, from %d validation spectra",
        ", ".join(f"{_range(found, k)} ({name})" for k, name in enumerate(names)),
        found.rows,
    )
    if np.isnan(limits.distance):
        log.warning(
            "not all members know how far a spectrum is from theirs (an earlier version trained them): no row is "
            "flagged UNLIKE_TRAINING"
        )
    for a, b in told["diversity"]["nearly_same"] if "diversity" in told else []:
        log.warning("members %d and %d are nearly the same: their spread says little of what is not known", a, b)


def _range(found: Calibration, label: int) -> str:
    """Return the factors of a label in a few words."""
    factors = np.append(found.factor[:, label], found.overall[label])
    low, high = f"{factors.min():.2f}", f"{factors.max():.2f}"
    return low if low == high else f"{low}-{high}"


def _blocks(task: Task) -> Iterator[UnitTable]:
    """Yield the prediction of all rows of a store in their order, many units at a time.

    Raises:
        PredictionError: a unit is missing, or has not the rows that belong to it.
    """
    block: list[UnitTable] = []
    for unit in range(task.units):
        table = read_unit(unit_path(task.folder, unit), task.recipe)
        if table is None or table.mean.shape[0] != len(task.rows(unit)):
            raise PredictionError(
                f"{unit_path(task.folder, unit)}: not there, not whole, or of another run; run the same command again"
            )
        block.append(table)
        if unit == task.units - 1 or sum(len(table.mean) for table in block) >= _BLOCK_ROWS:
            yield joined(block)
            block = []


def _identifiers(task: Task) -> NDArray[np.str_]:
    """Return the identifiers of all rows.

    Raises:
        PredictionError: some come twice.
    """
    if not task.store.has("id"):
        return as_text([f"{task.name}-{row:07d}" for row in range(len(task.store))])
    identifiers = as_text(task.store.column("id"))
    if np.unique(identifiers).size != identifiers.size:
        raise PredictionError(f"{task.store.path}: identifiers are not unique; run `starnet-hpc observe CONFIG` again")
    return identifiers
