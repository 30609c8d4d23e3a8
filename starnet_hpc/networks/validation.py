"""What validation spectra say of a member, or of the whole ensemble: `validation.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.labels import LABELS
from starnet_hpc.statistics import (
    Clusters,
    Floats,
    crps,
    jackknife_error,
    median,
    one_sigma_factor,
    probability_integral,
    share,
    temperature,
    uniform_distance,
)

PIT_BINS = 10
CONVENTIONS = {
    "nll": "mean of -ln(density at the truth) of the standardised label, without ln(2 pi)/2: the loss of training",
    "crps": "continuous ranked probability score of a Gaussian with the predicted mean and sigma, unit of the label",
    "temperature": "factor on sigma with which the Gaussian likelihood is largest: the root of the mean squared pull",
    "one_sigma_factor": "factor on sigma with which one sigma holds 68.27 % of the errors",
    "coverage_68, coverage_95": "share of errors within one and two sigma [%]; _tempered: within sigma x temperature",
    "pit": "share of truths in each tenth of their predicted distributions; 0.1 everywhere if these are right",
    "pit_distance": "largest distance of the distribution of those places from the uniform one (Kolmogorov-Smirnov)",
    "_error": "standard errors, which allow for what the spectra of one template have in common; null: too few to tell",
}


@dataclass(frozen=True)
class Judged:
    """Predictions of spectra whose labels are known, each [rows, labels] in physical units."""

    mean: Floats
    sigma: Floats
    """As claimed, > 0."""
    truth: Floats
    template: NDArray[np.integer[Any]]
    """Which template each row is of [rows]."""

    @property
    def pull(self) -> Floats:
        """(truth - mean) / sigma."""
        return (self.truth - self.mean) / self.sigma


def label_scores(
    names: Sequence[str], judged: Judged, surprise: Floats, place: Floats | None = None
) -> dict[str, dict[str, Any]]:
    """Return the scores of each label, as plain values; `CONVENTIONS` says what they are.

    Args:
        names: of the labels.
        judged: all rows finite, at least one.
        surprise: -ln(density) of each standardised truth [rows, labels], without ln(2 pi)/2.
        place: share of the predicted distribution below each truth [rows, labels]; by default the Gaussian's.
    """
    pull, clusters = judged.pull, judged.template
    place = probability_integral(pull) if place is None else place
    factors = {
        "temperature": (temperature(pull), jackknife_error(temperature, pull, clusters)),
        "one_sigma_factor": (one_sigma_factor(pull), jackknife_error(one_sigma_factor, pull, clusters)),
    }
    score, distance = crps(pull, judged.sigma), uniform_distance(place)
    found = {}
    for k, name in enumerate(names):
        residual = median(np.abs(judged.truth - judged.mean)[:, k], clusters)
        scores: dict[str, Any] = {
            "unit": LABELS[name].unit,
            "nll": float(surprise[:, k].mean()),
            "crps": float(score[k]),
            "median_absolute": residual.value,
            "median_absolute_error": residual.error,
        }
        for factor, (value, error) in factors.items():
            scores |= {factor: float(value[k]), f"{factor}_error": float(error[k])}
        for ending, raw in (("", pull[:, k]), ("_tempered", pull[:, k] / factors["temperature"][0][k])):
            scores |= _coverage(raw, clusters, ending)
        counts, _ = np.histogram(place[:, k], PIT_BINS, (0.0, 1.0))
        scores |= {"pit": (counts / counts.sum()).tolist(), "pit_distance": float(distance[k])}
        found[name] = {key: None if value != value else value for key, value in scores.items()}  # NaN is no JSON
    return found


def _coverage(pull: Floats, clusters: Clusters, ending: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, sigmas in (("coverage_68", 1.0), ("coverage_95", 2.0)):
        inside = share(np.abs(pull) <= sigmas, clusters)
        found |= {f"{name}{ending}": inside.value, f"{name}{ending}_error": inside.error}
    return found
