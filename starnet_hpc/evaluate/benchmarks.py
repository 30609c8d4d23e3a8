"""Benchmark stars: predicted beside published labels, star by star and in the paper's groups (Table 2, Fig. 5)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.inputs import Inputs, Survey
from starnet_hpc.evaluate.residuals import COUNT, KINDS, LABEL, UNIT, kinds
from starnet_hpc.evaluate.sample import ALL, Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.labels import GRID_LABELS
from starnet_hpc.statistics import mean, median, rms

IN_RANGE = ""
"""The remark of a comparison that enters the statistics."""
FAILED = "no usable prediction"
FEWEST_STARS = 3
"""A group with fewer stars in range shows no statistics (the paper's smallest group has three)."""

STAR_COLUMNS = (
    Column("id", "star"),
    Column("kind", "kind"),
    Column("snr", "S/N"),
    LABEL,
    UNIT,
    Column("value", "predicted", "Predicted label ± total sigma", "sigma"),
    Column("reference", "published", "Published label ± its error, where known", "reference_error"),
    Column("difference", "difference", "Predicted minus published ± combined sigma", "combined_sigma"),
    Column("pull", "difference / σ", "Difference in units of the combined sigma"),
    Column("remark", "remark", "Why a comparison does not enter the statistics"),
)


def ranges_of(inputs: Inputs) -> dict[str, tuple[float, float]]:
    """Return the range of each label, in its unit, outside which stars are not compared."""
    return {**inputs.training.ranges, **inputs.config.evaluate.trusted}


def of_survey(inputs: Inputs, survey: Survey) -> tuple[Table, Table]:
    """Return the benchmark stars of a survey against their published labels, star by star and by kind."""
    chosen = survey.benchmarks
    ids = [str(name) for name in survey.catalogue.ids[chosen]]
    compared = stars("benchmarks", "Benchmark stars", ids, survey.sample[chosen], ranges_of(inputs))
    return compared, groups("benchmark_groups", "Benchmark stars by kind", compared)


def stars(
    name: str, caption: str, ids: Sequence[str], sample: Sample, ranges: Mapping[str, tuple[float, float]]
) -> Table:
    """Return one row a star and label with a published value.

    Args:
        name: of the table.
        caption: of the table.
        ids: names of the stars [n].
        sample: predictions and published labels of the same stars.
        ranges: trained range of each label, in its unit. A star with any label of the grid outside counts as outside in
            all labels, since the network has seen no spectrum like its own (paper, section 4.2 and Fig. 5).
    """
    kind = kinds(sample.truth)
    remarks = {label: _remarks(sample, label, ranges) for label in sample.labels}
    rows: list[Row] = []
    for k, star in enumerate(ids):
        rows += [
            {"id": star, "kind": str(kind[k]), "snr": float(sample.snr[k]), **_compared(sample, label, k)}
            | {"remark": remarks[label][k]}
            for label in sample.labels
            if np.isfinite(sample.truth[label][k])
        ]
    return table(name, caption, STAR_COLUMNS, rows)


def groups(name: str, caption: str, compared: Table) -> Table:
    """Return RMS, mean absolute and median difference of each kind of star and label, from `stars`."""
    columns = (
        Column("kind", "kind of star"),
        LABEL,
        UNIT,
        COUNT,
        Column("n_left_out", "left out", "Stars outside the trained range, or without a usable prediction"),
        Column("rms", "RMS", "Root of the mean squared difference", "rms_error"),
        Column(
            "mean_absolute",
            "mean |Δ|",
            "Mean absolute difference: what the paper's public code computes",
            "mean_absolute_error",
        ),
        Column("median", "median Δ", "Median of predicted minus published", "median_error"),
    )
    rows: list[Row] = []
    for kind in (*KINDS, ALL):
        for label in compared.distinct("label"):
            chosen = compared.where(label=label) if kind == ALL else compared.where(label=label, kind=kind)
            if not chosen.rows:
                continue
            inside = chosen.where(remark=IN_RANGE)
            row: dict[str, Value] = {"kind": kind, "label": label, "unit": words.unit(label)}
            row |= {"n": len(inside.rows), "n_left_out": len(chosen.rows) - len(inside.rows)}
            if len(inside.rows) >= FEWEST_STARS:
                difference = inside.numbers("difference")
                for key, estimate in {
                    "rms": rms(difference),
                    "mean_absolute": mean(np.abs(difference)),
                    "median": median(difference),
                }.items():
                    row |= {key: estimate.value, f"{key}_error": estimate.error}
            rows.append(row)
    return table(name, caption, columns, rows)


def _compared(sample: Sample, label: str, k: int) -> dict[str, Value]:
    only = np.zeros(len(sample), dtype=bool)
    only[k] = True
    difference, combined = (float(f(label, only)[0]) for f in (sample.residual, sample.combined_sigma))
    if not sample.predicted[label].usable[k]:
        difference = combined = np.nan
    return {
        "label": label,
        "unit": words.unit(label),
        "value": float(sample.predicted[label].value[k]),
        "sigma": float(sample.predicted[label].sigma[k]),
        "reference": float(sample.truth[label][k]),
        "reference_error": float(sample.truth_error[label][k]),
        "difference": difference,
        "combined_sigma": combined,
        "pull": difference / combined if combined > 0 else np.nan,
    }


def _remarks(sample: Sample, label: str, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return for each star why this label is not compared; "" if it is."""
    decisive = [name for name in sample.labels if name in GRID_LABELS or name == label]
    outside = {name: _outside(sample.truth[name], *ranges[name]) for name in decisive}
    remarks = []
    for k in range(len(sample)):
        which = [words.plain(name) for name in decisive if outside[name][k]]
        if not sample.predicted[label].usable[k]:
            remarks.append(FAILED)
        elif which:
            remarks.append(f"outside trained range: {', '.join(which)}")
        else:
            remarks.append(IN_RANGE)
    return remarks


def _outside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    """Return which known values are outside a range [n]; what is not known is not outside."""
    return np.asarray((values < low) | (values > high))
