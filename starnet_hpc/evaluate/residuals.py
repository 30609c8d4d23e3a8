"""Residuals (predicted minus true) a label: in S/N bins, along the label (the paper's Fig. 3), by kind of star."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.sample import ALL, Sample, SnrBin, groups_by_snr
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import Estimate, median, robust_std

GOAL_PERCENT: Mapping[str, float] = {"teff": 15.0, "logg": 25.0, "feh": 15.0, "vsini": 15.0, "vrad": 15.0}
"""What a run should reach: median absolute residual over the training labels' standard deviation [%]."""

FEWEST = 10
"""A bin along a label with fewer spectra than this shows no number."""

KINDS = ("metal-rich dwarf", "metal-rich giant", "metal-poor")
"""The groups of Smiljanic et al. (2014) that the paper uses."""

LABEL = Column("label", "label")
UNIT = Column("unit", "unit", "Unit of the numbers in this row that are not per cent")
SNR = Column("snr", "S/N", "Signal-to-noise ratio of a pixel")
COUNT = Column("n", "N", "Spectra that the numbers rest on")
FAILED = Column("n_failed", "failed", "Spectra without a usable prediction; they are not in N")

_COLUMNS = (
    LABEL,
    UNIT,
    SNR,
    Column(
        "median_absolute",
        "median |Δ|",
        "Median absolute residual: half of the spectra have a smaller error",
        "median_absolute_error",
    ),
    Column("median", "median Δ", "Median of predicted minus true: the bias", "median_error"),
    Column(
        "robust_std", "robust σ", "1.4826 × median absolute deviation: the scatter about the bias", "robust_std_error"
    ),
    Column(
        "percent_of_std",
        "of σ(train) [%]",
        "Median absolute residual as a share of the label's standard deviation in training",
        "percent_of_std_error",
    ),
    COUNT,
    FAILED,
)


def by_snr(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin], training_std: Mapping[str, float]) -> Table:
    """Return residuals a label and S/N bin, the bin of all rows last.

    Args:
        name: of the table.
        caption: of the table.
        sample: predictions and truth.
        bins: of S/N.
        training_std: standard deviation of each label in training, in its unit.
    """
    rows = [
        {"label": label, "unit": words.unit(label), "snr": snr, **_measured(sample, label, inside, training_std[label])}
        for label in sample.labels
        for snr, inside in groups_by_snr(sample.snr, bins)
    ]
    return table(name, caption, _COLUMNS, rows)


def along_label(
    name: str,
    caption: str,
    sample: Sample,
    bins: Sequence[SnrBin],
    ranges: Mapping[str, tuple[float, float]],
    steps: int = 8,
) -> Table:
    """Return the median absolute residual in `steps` bins of the true label for each S/N bin (paper, Fig. 3)."""
    columns = (
        LABEL,
        UNIT,
        SNR,
        Column("low", "from", "Lower end of the bin of the true label"),
        Column("high", "to", "Upper end of the bin of the true label"),
        COUNT,
        FAILED,
        Column("median_absolute", "median |Δ|", "Median absolute residual", "median_absolute_error"),
    )
    rows: list[Row] = []
    for label in sample.labels:
        for snr, chosen in groups_by_snr(sample.snr, bins):
            for low, high, inside in label_steps(sample.truth[label], *ranges[label], steps):
                row: dict[str, Value] = {
                    "label": label,
                    "unit": words.unit(label),
                    "snr": snr,
                    "low": low,
                    "high": high,
                }
                rows.append(row | _typical(sample, label, inside & chosen))
    return table(name, caption, columns, rows)


def by_kind(name: str, caption: str, sample: Sample) -> Table:
    """Return the median absolute residual a label for metal-rich dwarfs, metal-rich giants and metal-poor stars."""
    columns = (
        LABEL,
        UNIT,
        Column("kind", "kind of star"),
        Column("median_absolute", "median |Δ|", "Median absolute residual", "median_absolute_error"),
        Column("median", "median Δ", "Median of predicted minus true: the bias", "median_error"),
        Column("ratio", "× all", "Median absolute residual over that of all kinds together"),
        COUNT,
        FAILED,
    )
    which = kinds(sample.truth)
    rows: list[Row] = []
    for label in sample.labels:
        every = median(np.abs(sample.residual(label, sample.usable(label)))).value
        for kind in KINDS:
            typical = _typical(sample, label, which == kind, bias=True)
            if typical["n"] or typical["n_failed"]:
                ratio = float(typical["median_absolute"]) / every if every > 0 else np.nan
                row: dict[str, Value] = {"label": label, "unit": words.unit(label), "kind": kind, "ratio": ratio}
                rows.append(row | typical)
    return table(name, caption, columns, rows)


def kinds(labels: Mapping[str, NDArray[np.float64]]) -> NDArray[np.object_]:
    """Return the kind of each star [n] from its log g and [Fe/H]; "" where they are unknown."""
    feh, logg = labels.get("feh"), labels.get("logg")
    if feh is None or logg is None:
        return np.full(next(iter(labels.values())).size, "", dtype=object)
    rich, dwarf = feh > -1.0, logg > 3.5
    known = np.isfinite(feh) & (np.isfinite(logg) | ~rich)
    kind = np.where(~rich, KINDS[2], np.where(dwarf, KINDS[0], KINDS[1])).astype(object)
    kind[~known] = ""
    return kind


def share_of_std(residuals: Table, label: str, snr: str = ALL) -> Estimate:
    """Return the median absolute residual as a share of the training labels' standard deviation [%] from `by_snr`."""
    row = residuals.first(label=label, snr=snr) or {}
    return Estimate(float(row.get("percent_of_std", np.nan)), float(row.get("percent_of_std_error", np.nan)))


def _measured(sample: Sample, label: str, inside: NDArray[np.bool_], training_std: float) -> dict[str, Value]:
    chosen = inside & sample.usable(label)
    residual, clusters = sample.residual(label, chosen), sample.clusters_of(chosen)
    scatter = robust_std(residual, clusters)
    row = _typical(sample, label, inside, bias=True)
    percent = 100.0 / training_std if training_std > 0 else np.nan
    return row | {
        "robust_std": scatter.value,
        "robust_std_error": scatter.error,
        "percent_of_std": percent * float(row["median_absolute"]),
        "percent_of_std_error": percent * float(row["median_absolute_error"]),
    }


def _typical(sample: Sample, label: str, inside: NDArray[np.bool_], *, bias: bool = False) -> dict[str, Value]:
    """Return the median absolute residual of some rows [n] (and the median residual), with counts."""
    chosen = inside & sample.usable(label)
    residual, clusters = sample.residual(label, chosen), sample.clusters_of(chosen)
    absolute = median(np.abs(residual), clusters)
    row: dict[str, Value] = {
        "n": int(chosen.sum()),
        "n_failed": int((inside & sample.failed(label)).sum()),
        "median_absolute": absolute.value,
        "median_absolute_error": absolute.error,
    }
    if bias:
        middle = median(residual, clusters)
        row |= {"median": middle.value, "median_error": middle.error}
    return row


def label_steps(
    truth: NDArray[np.float64], low: float, high: float, steps: int
) -> Iterator[tuple[float, float, NDArray[np.bool_]]]:
    """Yield ends and rows [n] of equal bins of a true label; truths outside the range are in the outermost bins."""
    edges = np.linspace(low, high, steps + 1)
    which = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, steps - 1)
    for step in range(steps):
        yield float(edges[step]), float(edges[step + 1]), (which == step) & np.isfinite(truth)
