"""Predicted sigma against the true label and against the residual, of this run's own and of other grids (Fig. 4).

A sigma that knows what it does not know grows where labels leave the trained range, and where residuals are large.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import growth as figures
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.nuisances import even_bins
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, UNIT, label_steps
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.statistics import Floats, median

TRUTH, RESIDUAL = "true label", "residual"
"""What sigma is shown against."""
OWN = "this run's grid"
_STEPS = 12


def picture(inputs: Inputs) -> Picture:
    """Return the figure of the test spectra of all grids."""
    samples = {OWN: inputs.test.sample} | {name: test.sample for name, test in inputs.others.items()}
    caption = "Predicted sigma against the true label and against the residual"
    found = sigmas("sigma_growth", caption, samples, inputs.trained_ranges)
    note = (
        f"As Fig. 4 of Bialek et al. (2020): medians of the total sigma in bins of the true label (left; dashed: ends "
        f"of the trained range) and of predicted − true (right; bins with equally many spectra; dotted: sigma as large "
        f"as the residual). Bins with fewer than {FEWEST} spectra are not shown."
    )
    return Picture(found, figures.sigmas, note)


def sigmas(name: str, caption: str, samples: Mapping[str, Sample], ranges: Mapping[str, tuple[float, float]]) -> Table:
    """Return the median sigma a grid and label, in bins of the true label and of the residual.

    Args:
        name: of the table.
        caption: of the table.
        samples: predictions and truth by grid; bins of the true label are the same for all of them.
        ranges: trained range of each label, in its unit; a label without one has no limits in the table.
    """
    columns = (
        Column("grid"),
        LABEL,
        UNIT,
        Column("against"),
        Column("low"),
        Column("high"),
        Column("centre"),
        Column("sigma", error="sigma_error"),
        COUNT,
        Column("trained_low"),
        Column("trained_high"),
    )
    rows: list[Row] = []
    for label in dict.fromkeys(label for sample in samples.values() for label in sample.labels):
        low, high = ranges.get(label, (np.nan, np.nan))
        same: Row = {"label": label, "unit": words.unit(label), "trained_low": low, "trained_high": high}
        ends = _ends(label, samples, (low, high))
        for grid, sample in samples.items():
            if label not in sample.labels:
                continue
            usable, sigma = sample.usable(label), sample.predicted[label].sigma
            for against, below, above, centre, inside in _bins(label, sample, usable, ends):
                found = median(sigma[inside], sample.clusters_of(inside))
                row = {**same, "grid": grid, "against": against, "low": below, "high": above, "centre": centre}
                rows.append(row | {"n": int(inside.sum()), "sigma": found.value, "sigma_error": found.error})
    return table(name, caption, columns, rows)


def _bins(
    label: str, sample: Sample, usable: NDArray[np.bool_], ends: tuple[float, float]
) -> Iterator[tuple[str, float, float, float, NDArray[np.bool_]]]:
    """Yield what it is a bin of, its ends and median, and its rows [n]."""
    truth = sample.truth[label]
    for low, high, inside in label_steps(truth, *ends, _STEPS):
        chosen = inside & usable
        if chosen.sum() >= FEWEST:
            yield TRUTH, low, high, float(np.median(truth[chosen])), chosen
    residual = np.where(usable, sample.predicted[label].value - truth, np.nan)
    for low, high, inside in even_bins(residual, _STEPS):
        yield RESIDUAL, low, high, float(np.median(residual[inside])), inside


def _ends(label: str, samples: Mapping[str, Sample], trained: tuple[float, float]) -> tuple[float, float]:
    """Return the smallest and the largest true label of all grids, and of the trained range."""
    known: list[Floats] = [sample.truth[label] for sample in samples.values() if label in sample.truth]
    values = np.concatenate([*known, np.array(trained)])
    return float(np.nanmin(values)), float(np.nanmax(values))
