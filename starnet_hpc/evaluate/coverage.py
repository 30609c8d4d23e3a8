"""Whether sigmas are honest: coverage of intervals, pulls, and the parts that sigma is made of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.residuals import COUNT, FAILED, LABEL, SNR, UNIT
from starnet_hpc.evaluate.sample import Sample, SnrBin, groups_by_snr
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import Floats, mean, median, robust_std, share, std

HONEST_68 = (60.0, 76.0)
"""Coverage of the 68 % interval [%] that counts as honest."""

PULL_LIMIT = 5.0
"""Half the range of the histograms of pulls; pulls beyond it are counted in the outermost bins."""


def by_snr(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin]) -> Table:
    """Return coverage and pulls a label and S/N bin, the bin of all rows last."""
    columns = (
        LABEL,
        SNR,
        Column(
            "coverage_68",
            "within 1σ [%]",
            "Share of residuals within one sigma; 68.3 if sigma is right",
            "coverage_68_error",
        ),
        Column(
            "coverage_95",
            "within 2σ [%]",
            "Share of residuals within two sigma; 95.4 if sigma is right",
            "coverage_95_error",
        ),
        Column("pull_mean", "pull mean", "Mean of residual / sigma; 0 if there is no bias", "pull_mean_error"),
        Column("pull_std", "pull std", "Standard deviation of residual / sigma; 1 if sigma is right", "pull_std_error"),
        Column(
            "pull_robust_std",
            "robust",
            "The same from the median absolute deviation: blind to outliers",
            "pull_robust_std_error",
        ),
        COUNT,
        FAILED,
    )
    rows: list[Row] = [
        {"label": label, "snr": snr, **_covered(sample, label, inside)}
        for label in sample.labels
        for snr, inside in groups_by_snr(sample.snr, bins)
    ]
    return table(name, caption, columns, rows)


def sigma_parts(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin]) -> Table:
    """Return the median total, aleatoric and epistemic sigma a predicted label and S/N bin."""
    columns = (
        LABEL,
        UNIT,
        SNR,
        Column("sigma", "median σ", "Median total standard deviation, calibrated", "sigma_error"),
        Column("aleatoric", "aleatoric", "Median part that the noise causes, as the members see it", "aleatoric_error"),
        Column("epistemic", "epistemic", "Median part in which the members differ", "epistemic_error"),
        Column(
            "epistemic_share",
            "epistemic [%]",
            "Share of the epistemic part in the claimed variance, median over spectra",
            "epistemic_share_error",
        ),
        COUNT,
    )
    rows: list[Row] = []
    for label, predicted in sample.predicted.items():
        for snr, inside in groups_by_snr(sample.snr, bins):
            usable = inside & predicted.usable
            chosen, clusters = predicted[usable], sample.clusters_of(usable)
            row: dict[str, Value] = {"label": label, "unit": words.unit(label), "snr": snr, "n": chosen.value.size}
            epistemic = np.square(chosen.epistemic)
            claimed = epistemic + np.square(chosen.aleatoric)
            for part, values in {
                "sigma": chosen.sigma,
                "aleatoric": chosen.aleatoric,
                "epistemic": chosen.epistemic,
                "epistemic_share": 100 * np.divide(epistemic, claimed, out=np.zeros_like(claimed), where=claimed > 0),
            }.items():
                middle = median(values, clusters)
                row |= {part: middle.value, f"{part}_error": middle.error}
            rows.append(row)
    return table(name, caption, columns, rows)


def pull_histogram(name: str, caption: str, sample: Sample, step: float = 0.25) -> Table:
    """Return the counts of pulls a label in bins of `step`; the outermost bins hold all pulls beyond them."""
    edges = np.arange(-PULL_LIMIT, PULL_LIMIT + step / 2, step)
    columns = (LABEL, *(Column(key) for key in ("low", "high", "n")))
    rows: list[Row] = []
    for label in sample.labels:
        inside = np.clip(pulls(sample, label, sample.usable(label)), edges[0], np.nextafter(edges[-1], 0))
        counts, _ = np.histogram(inside, edges)
        rows += [
            {"label": label, "low": float(low), "high": float(high), "n": int(n)}
            for low, high, n in zip(edges, edges[1:], counts, strict=False)
        ]
    return table(name, caption, columns, rows)


def pulls(sample: Sample, label: str, rows: NDArray[np.bool_]) -> Floats:
    """Return residual / sigma (total, with the error of a published label) of some usable rows, dimensionless."""
    pull: Floats = sample.residual(label, rows) / sample.combined_sigma(label, rows)
    return pull


def _covered(sample: Sample, label: str, inside: NDArray[np.bool_]) -> dict[str, Value]:
    chosen = inside & sample.usable(label)
    pull, clusters = pulls(sample, label, chosen), sample.clusters_of(chosen)
    row: dict[str, Value] = {"n": int(chosen.sum()), "n_failed": int((inside & sample.failed(label)).sum())}
    for name, estimate in {
        "coverage_68": share(np.abs(pull) <= 1.0, clusters),
        "coverage_95": share(np.abs(pull) <= 2.0, clusters),
        "pull_mean": mean(pull, clusters),
        "pull_std": std(pull, clusters),
        "pull_robust_std": robust_std(pull, clusters),
    }.items():
        row |= {name: estimate.value, f"{name}_error": estimate.error}
    return row
