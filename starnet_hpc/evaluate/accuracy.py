"""All tables of accuracy of one sample, and the short one that opens the report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from starnet_hpc.evaluate import calibration, coverage, distributions, histograms, nuisances, residuals, words
from starnet_hpc.evaluate.residuals import COUNT, FAILED, GOAL_PERCENT, LABEL, UNIT
from starnet_hpc.evaluate.sample import ALL, Sample, SnrBin
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table

WELL, UNMEASURED = 10.0, 25.0
"""Median absolute residual over the standard deviation in training [%]: below the first a label is well measured,
above the second it is not measured (guessing the middle of a uniform range gives 87 %)."""


@dataclass(frozen=True)
class Accuracy:
    """How good the predictions of a sample are."""

    glance: Table
    residuals: Table
    along_label: Table
    kinds: Table
    coverage: Table
    pulls: Table
    sigma: Table
    density: Table
    calibration: Table
    pit: Table
    scores: Table
    nuisances: Table
    histogram: Table


def assess(
    prefix: str,
    what: str,
    sample: Sample,
    bins: tuple[SnrBin, ...],
    training_std: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
) -> Accuracy:
    """Return all tables of accuracy.

    Args:
        prefix: of the tables' names (`test` or `survey`).
        what: whom the captions speak of ("held-out synthetic spectra").
        sample: predictions and truth.
        bins: of S/N.
        training_std: standard deviation of each label in training, in its unit.
        ranges: trained range of each label, in its unit.
    """
    by_snr = residuals.by_snr(
        f"{prefix}_residuals", f"Residuals (predicted − true) of {what}", sample, bins, training_std
    )
    covered = coverage.by_snr(
        f"{prefix}_coverage", f"Coverage of the predicted intervals and pulls, {what}", sample, bins
    )
    return Accuracy(
        _glance(f"{prefix}_summary", f"At a glance: {what}", by_snr, covered),
        by_snr,
        residuals.along_label(
            f"{prefix}_residuals_along_label",
            f"Median absolute residual against the true label in S/N bins, {what}",
            sample,
            bins,
            ranges,
        ),
        residuals.by_kind(f"{prefix}_residuals_by_kind", f"Residuals by kind of star, {what}", sample),
        covered,
        coverage.pull_histogram(f"{prefix}_pulls", f"Pulls (residual / predicted sigma) of {what}", sample),
        coverage.sigma_parts(f"{prefix}_sigma", f"Predicted sigma and its parts (medians), {what}", sample, bins),
        distributions.predicted_against_true(
            f"{prefix}_predicted_against_true", f"Predicted against true labels of {what}", sample, ranges
        ),
        calibration.curve(f"{prefix}_calibration", f"Coverage of intervals of every size, {what}", sample, bins),
        calibration.pit(f"{prefix}_pit", f"Where truths lie in what was predicted for them, {what}", sample, bins),
        calibration.scores(f"{prefix}_scores", f"Sharpness and scores of the predictions, {what}", sample, bins),
        nuisances.residuals(f"{prefix}_nuisances", f"Residuals against nuisances, {what}", sample),
        histograms.residuals(f"{prefix}_residual_histogram", f"Distribution of the residuals of {what}", sample),
    )


def _glance(name: str, caption: str, by_snr: Table, covered: Table) -> Table:
    columns = (
        LABEL,
        UNIT,
        Column(
            "median_absolute",
            "median |Δ|",
            "Median absolute residual: half of the spectra have a smaller error",
            "median_absolute_error",
        ),
        Column("median", "median Δ", "Median of predicted minus true: the bias", "median_error"),
        Column(
            "percent_of_std",
            "of σ(train) [%]",
            "Median |Δ| over the label's standard deviation in training",
            "percent_of_std_error",
        ),
        Column("goal", "goal", "Share that a run should stay below"),
        Column("coverage_68", "within 1σ [%]", "68.3 if sigma is right", "coverage_68_error"),
        Column("coverage_95", "within 2σ [%]", "95.4 if sigma is right", "coverage_95_error"),
        Column("verdict", "verdict"),
        COUNT,
        FAILED,
    )
    rows: list[Row] = []
    for residual in by_snr.where(snr=ALL).rows:
        label = str(residual["label"])
        honest = covered.first(label=label, snr=ALL) or {}
        row: dict[str, Value] = {**residual, **honest}
        row["goal"] = _goal(label, float(residual["percent_of_std"]))
        row["verdict"] = measured(float(residual["percent_of_std"]))
        rows.append(row)
    return table(name, caption, columns, rows)


def measured(percent_of_std: float) -> str:
    """Return in words how well a label is measured."""
    if not math.isfinite(percent_of_std):
        return "unknown"
    if percent_of_std <= WELL:
        return "well measured"
    return "measured" if percent_of_std <= UNMEASURED else "not measured"


def _goal(label: str, percent_of_std: float) -> str:
    if label not in GOAL_PERCENT or not math.isfinite(percent_of_std):
        return words.MISSING
    return f"{GOAL_PERCENT[label]:.0f} %: {'met' if percent_of_std < GOAL_PERCENT[label] else 'missed'}"
