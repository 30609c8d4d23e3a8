"""Residuals against what differs between spectra of the same star: rotation, velocity, noise, masked pixels."""

from collections.abc import Iterator

import numpy as np

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, UNIT
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import Floats, median

AXES = {
    "vsini": ("v sin i", "km/s"),
    "vrad": ("v rad", "km/s"),
    "noise": ("noise of a pixel", "% of the median flux"),
    "snr": ("S/N", ""),
    "masked": ("masked pixels", "%"),
}
"""What a sample's nuisances are, and their units."""


def residuals(name: str, caption: str, sample: Sample, steps: int = 8) -> Table:
    """Return the median residual of each label in bins of each nuisance, with as many spectra in each bin."""
    columns = (
        LABEL,
        UNIT,
        Column("nuisance", "against"),
        Column("low", "from", "Lower end of the bin"),
        Column("high", "to", "Upper end of the bin"),
        Column("centre"),
        Column("median", "median Δ", "Median of predicted minus true: the bias", "median_error"),
        Column("median_absolute", "median |Δ|", "Median absolute residual", "median_absolute_error"),
        COUNT,
    )
    rows: list[Row] = []
    for label in sample.labels:
        usable = sample.usable(label)
        residual, clusters = sample.residual(label, usable), sample.clusters_of(usable)
        for nuisance, values in sample.nuisances.items():
            for low, high, inside in even_bins(values[usable], steps):
                mine = None if clusters is None else clusters[inside]
                middle, absolute = median(residual[inside], mine), median(np.abs(residual[inside]), mine)
                row: dict[str, Value] = {"label": label, "unit": words.unit(label), "nuisance": nuisance}
                row |= {"low": low, "high": high, "n": int(inside.sum())}
                row["centre"] = float(np.median(values[usable][inside]))
                row |= {"median": middle.value, "median_error": middle.error}
                row |= {"median_absolute": absolute.value, "median_absolute_error": absolute.error}
                rows.append(row)
    return table(name, caption, columns, rows)


def place(nuisance: str, low: float, high: float) -> str:
    """Return a bin in words: `v sin i 40.1 to 50.0 km/s`."""
    title, unit = AXES[nuisance]
    return f"{title} {words.number(low)} to {words.number(high)} {unit}".rstrip()


def even_bins(values: Floats, steps: int) -> Iterator[tuple[float, float, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Yield ends and rows [n] of bins with equally many values; none where values hardly differ."""
    known = np.isfinite(values)
    if known.sum() < 2 * FEWEST:
        return
    edges = np.unique(np.quantile(values[known], np.linspace(0.0, 1.0, min(steps, known.sum() // FEWEST) + 1)))
    if edges.size < 3:
        return
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    for step in range(edges.size - 1):
        inside = known & (which == step)
        if inside.sum() >= FEWEST:
            yield float(edges[step]), float(edges[step + 1]), inside
