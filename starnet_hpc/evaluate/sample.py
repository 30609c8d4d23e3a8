"""What every table of accuracy is made from: predicted labels beside the true (or published) ones, and S/N bins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.statistics import Clusters, Floats

ALL = "all"
"""Name of the bin that holds every row."""


@dataclass(frozen=True)
class LabelColumns:
    """One label of a catalogue; arrays [n] in the label's unit, NaN where the prediction failed."""

    value: Floats
    sigma: Floats
    """Total standard deviation, aleatoric and epistemic parts added in quadrature."""
    aleatoric: Floats
    epistemic: Floats

    def __getitem__(self, rows: Any) -> "LabelColumns":
        return LabelColumns(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows with a finite value and a positive finite sigma [n]; all others are failures."""
        return np.isfinite(self.value) & np.isfinite(self.sigma) & (self.sigma > 0)


@dataclass(frozen=True)
class Sample:
    """Predictions beside what is known of the same spectra, row by row."""

    predicted: Mapping[str, LabelColumns]
    truth: Mapping[str, Floats]
    """True or published labels [n]; NaN where unknown."""
    truth_error: Mapping[str, Floats]
    """Errors of published labels [n]; NaN where unknown; empty for exact truth."""
    snr: Floats
    """Signal-to-noise ratio of a pixel [n]; NaN where unknown."""
    clusters: Clusters = None
    """Template of each row [n], where known."""
    nuisances: Mapping[str, Floats] = field(default_factory=dict)
    """What differs from spectrum to spectrum besides the star [n], by the names of `nuisances.AXES`."""

    def __len__(self) -> int:
        return self.snr.size

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that were predicted and whose truth is known for at least one row."""
        return tuple(name for name in self.predicted if name in self.truth and np.isfinite(self.truth[name]).any())

    def __getitem__(self, rows: NDArray[np.bool_]) -> "Sample":
        return Sample(
            {name: columns[rows] for name, columns in self.predicted.items()},
            {name: values[rows] for name, values in self.truth.items()},
            {name: values[rows] for name, values in self.truth_error.items()},
            self.snr[rows],
            None if self.clusters is None else self.clusters[rows],
            {name: values[rows] for name, values in self.nuisances.items()},
        )

    def known(self, label: str) -> NDArray[np.bool_]:
        """Rows whose truth is known [n]."""
        return np.isfinite(self.truth[label])

    def failed(self, label: str) -> NDArray[np.bool_]:
        """Rows whose truth is known, but that have no usable prediction [n]."""
        return self.known(label) & ~self.predicted[label].usable

    def usable(self, label: str) -> NDArray[np.bool_]:
        """Rows that a comparison can use [n]."""
        return self.known(label) & self.predicted[label].usable

    def clusters_of(self, rows: NDArray[np.bool_]) -> Clusters:
        """Return the clusters of some rows, if there are clusters."""
        return None if self.clusters is None else self.clusters[rows]

    def residual(self, label: str, rows: NDArray[np.bool_]) -> Floats:
        """Return predicted minus true of some rows, in the label's unit."""
        difference: Floats = self.predicted[label].value[rows] - self.truth[label][rows]
        return difference

    def combined_sigma(self, label: str, rows: NDArray[np.bool_]) -> Floats:
        """Return the standard deviation that the residual of some rows should have, in the label's unit.

        Where the error of a published label is not known, that is the predicted sigma alone.
        """
        published = self.truth_error.get(label, np.zeros(len(self)))[rows]
        return np.hypot(self.predicted[label].sigma[rows], np.nan_to_num(published))


@dataclass(frozen=True)
class SnrBin:
    """Spectra of similar signal-to-noise ratio: low <= S/N < high."""

    name: str
    low: float
    high: float

    def rows(self, snr: Floats) -> NDArray[np.bool_]:
        """Return which rows belong to the bin [n]."""
        return np.asarray((snr >= self.low) & (snr < self.high))


def snr_bins(edges: Sequence[float]) -> tuple[SnrBin, ...]:
    """Return the bins with these lower edges; the last one is open."""
    bins = []
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        if np.isinf(high):
            name = f"≥ {low:g}"
        elif low <= 0:
            name = f"< {high:g}"
        else:
            name = f"{low:g}–{high:g}"
        bins.append(SnrBin(name, low, high))
    return tuple(bins)


def groups_by_snr(snr: Floats, bins: Sequence[SnrBin]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield name and rows [n] of every bin; of rows in no bin (S/N unknown or too low), if any; and of all."""
    rest = np.ones(snr.size, dtype=bool)
    for chosen in bins:
        rows = chosen.rows(snr)
        rest &= ~rows
        yield chosen.name, rows
    if rest.any():
        yield "unknown", rest
    yield ALL, np.ones(snr.size, dtype=bool)
