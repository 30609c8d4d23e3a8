"""Spectra of other grids: does the ensemble know that it has not seen their like (paper, Fig. 4)?

Where residuals grow and sigma does not, the ensemble is wrong without saying so; what grows with them is mostly the
epistemic part, since members that were trained on one grid have no reason to agree on another.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Grid, Section
from starnet_hpc.evaluate.inputs import Inputs, Test
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, UNIT
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import NOTHING, Estimate, Floats, median, share

OWN, INSIDE, OUTSIDE = "held out", "inside", "outside"
"""Where spectra are: of this run's own grid, or of another one with labels inside or outside the trained ranges."""

_COLUMNS = (
    Column("grid", "grid"),
    Column("where", "trained range", "Whether all labels of the spectra lie in the range of the training labels"),
    LABEL,
    UNIT,
    Column("median_absolute", "median |Δ|", "Median absolute residual", "median_absolute_error"),
    Column("median", "median Δ", "Median of predicted minus true: the bias", "median_error"),
    Column("sigma", "median σ", "Median total standard deviation", "sigma_error"),
    Column("epistemic", "epistemic", "Median part in which the members differ", "epistemic_error"),
    Column("residual_ratio", "|Δ| ratio", "Median |Δ| over that of this run's own held-out spectra"),
    Column("sigma_ratio", "σ ratio", "Median σ over that of this run's own held-out spectra"),
    Column("coverage_68", "within 1σ [%]", "68.3 if sigma is right", "coverage_68_error"),
    COUNT,
)


def others_table(inputs: Inputs) -> Table:
    """Return what is measured on the stores of `predict.other_tests`, beside this run's own held-out spectra."""
    caption = "Spectra of other grids beside this run's own"
    return grown("other_tests", caption, inputs.test, inputs.others, inputs.trained_ranges)


def others_section(found: Table) -> Section:
    """Return the chapter on them."""
    note = (
        "Honest sigmas grow as much as the residuals do, and go on to hold 68 % of them. ± is a standard error that "
        "allows for what the spectra of one template have in common. Calibration is from this run's own grid."
    )
    return Section("others", "Spectra of other grids", (Grid(found, note),))


def grown(
    name: str, caption: str, own: Test, others: Mapping[str, Test], ranges: Mapping[str, tuple[float, float]]
) -> Table:
    """Return residuals and sigmas a label: of this run's own test spectra, then of each other store.

    Args:
        name: of the table.
        caption: of the table.
        own: test spectra of the grid that was trained on.
        others: test spectra of other grids, by name.
        ranges: trained range of each label, in its unit.
    """
    whole = np.ones(len(own.sample), dtype=bool)
    compared = {label: _measured(own.sample, label, whole) for label in own.sample.labels}
    rows: list[Row] = [{"grid": "this run's", "where": OWN, **row} for row in compared.values()]
    for grid, test in others.items():
        for where, chosen in _parts(test.sample, ranges):
            for label in test.sample.labels:
                row = _measured(test.sample, label, chosen)
                if label in compared and int(row["n"]) >= FEWEST:
                    for key, of in (("residual_ratio", "median_absolute"), ("sigma_ratio", "sigma")):
                        row[key] = float(row[of]) / float(compared[label][of])
                rows.append({"grid": grid, "where": where, **row})
    return table(name, caption, _COLUMNS, rows)


def _parts(sample: Sample, ranges: Mapping[str, tuple[float, float]]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the rows [n] whose known labels all lie in the trained ranges, then the others, if there are any."""
    inside = np.ones(len(sample), dtype=bool)
    for label, (low, high) in ranges.items():
        if label in sample.truth:
            inside &= ~((sample.truth[label] < low) | (sample.truth[label] > high))
    for where, chosen in ((INSIDE, inside), (OUTSIDE, ~inside)):
        if chosen.any():
            yield where, chosen


def _measured(sample: Sample, label: str, inside: NDArray[np.bool_]) -> dict[str, Value]:
    chosen = inside & sample.usable(label)
    residual, clusters = sample.residual(label, chosen), sample.clusters_of(chosen)
    predicted = sample.predicted[label][chosen]
    row: dict[str, Value] = {"label": label, "unit": words.unit(label), "n": int(chosen.sum())}

    def middle(values: Floats) -> Estimate:
        return median(values, clusters) if values.size >= FEWEST else NOTHING

    for key, estimate in {
        "median_absolute": middle(np.abs(residual)),
        "median": middle(residual),
        "sigma": middle(predicted.sigma),
        "epistemic": middle(predicted.epistemic),
        "coverage_68": share(np.abs(residual) <= predicted.sigma, clusters) if residual.size >= FEWEST else NOTHING,
    }.items():
        row |= {key: estimate.value, f"{key}_error": estimate.error}
    return row
