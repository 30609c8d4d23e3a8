"""Biases of two runs along each label, where noise is strong: networks trained with and without it, say (Fig. A3)."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import pairs as figures
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.pairs import Pair
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, UNIT, label_steps
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.statistics import median

NOISY = 80.0
"""Spectra with a smaller S/N than this are looked at, as in the paper; of a run without any, all are."""
_STEPS = 8


def picture(pair: Pair) -> Picture:
    """Return the figure of the biases of both runs."""
    counts = [f"{words.count(int(_noisy(run.test.sample).sum()))} of {name}" for name, run in _named(pair)]
    note = (
        f"As Fig. A3 of Bialek et al. (2020): held-out spectra with S/N < {NOISY:.0f} ({words.listed(counts)}; all of "
        f"them, where there are none). Bins with fewer than {FEWEST} spectra are not shown. Networks that were trained "
        f"without noise (augment.noise_max_train: 0) do not know what it does to the continuum."
    )
    return Picture(along_label("bias_along_label", "Median residual along each label", pair), figures.bias, note)


def along_label(name: str, caption: str, pair: Pair) -> Table:
    """Return the median residual of both runs in equal bins of each true label, over the first one's trained range."""
    columns = (
        Column("run"),
        LABEL,
        UNIT,
        Column("low"),
        Column("high"),
        COUNT,
        Column("median", error="median_error"),
    )
    rows: list[Row] = []
    training = pair.first.training
    for run, inputs in _named(pair):
        sample = inputs.test.sample
        noisy = _noisy(sample)
        for label in pair.labels:
            chosen = noisy & sample.usable(label)
            ends = training.low[label], training.high[label]
            for low, high, inside in label_steps(sample.truth[label], *ends, _STEPS):
                found = median(sample.residual(label, chosen & inside), sample.clusters_of(chosen & inside))
                row: dict[str, str | int | float] = {"run": run, "label": label, "unit": words.unit(label)}
                row |= {"low": low, "high": high, "n": int((chosen & inside).sum())}
                rows.append(row | {"median": found.value, "median_error": found.error})
    return table(name, caption, columns, rows)


def _named(pair: Pair) -> list[tuple[str, Inputs]]:
    return list(zip(pair.names, pair.runs, strict=True))


def _noisy(sample: Sample) -> NDArray[np.bool_]:
    low = np.asarray(sample.snr < NOISY)
    return low if low.any() else np.ones(len(sample), dtype=bool)
