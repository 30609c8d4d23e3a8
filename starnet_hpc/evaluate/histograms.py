"""Residuals as histograms, with their median and standard deviation (the paper's Fig. 10)."""

import numpy as np

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.residuals import COUNT, LABEL, UNIT
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import median, robust_std, std

_STEPS = 40
_WIDE = 5.0
"""The axis reaches so many robust standard deviations from the median, on both sides."""


def residuals(name: str, caption: str, sample: Sample) -> Table:
    """Return the counts of residuals a label in equal bins; the outermost bins hold all residuals beyond them.

    Median, standard deviation and robust standard deviation of all residuals of a label are in each of its rows.
    """
    columns = (
        LABEL,
        UNIT,
        *(Column(key) for key in ("low", "high", "n")),
        Column("median", error="median_error"),
        Column("std", error="std_error"),
        Column("robust_std", error="robust_std_error"),
        Column("n_all", note=COUNT.note),
    )
    rows: list[Row] = []
    for label in sample.labels:
        chosen = sample.usable(label)
        values, clusters = sample.residual(label, chosen), sample.clusters_of(chosen)
        same: dict[str, Value] = {"label": label, "unit": words.unit(label), "n_all": values.size}
        middle, scatter = median(values, clusters), robust_std(values, clusters)
        for key, found in (("median", middle), ("std", std(values, clusters)), ("robust_std", scatter)):
            same |= {key: found.value, f"{key}_error": found.error}
        reach = _WIDE * scatter.value if scatter.value > 0 else 1.0
        centre = middle.value if np.isfinite(middle.value) else 0.0
        edges = np.linspace(centre - reach, centre + reach, _STEPS + 1)
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        rows += [
            same | {"low": float(low), "high": float(high), "n": int(n)}
            for low, high, n in zip(edges, edges[1:], counts, strict=False)
        ]
    return table(name, caption, columns, rows)
