"""Estimates with standard errors that know that spectra of one template are not independent.

A test set holds several spectra of each template, and the network's error on them has a common part. So each standard
error is the larger of two: the one for independent values, and the one for clusters (deviations are summed over each
cluster, then squared; Cameron & Miller 2015, J. Human Resources 50, 317, section II). Nothing here is random.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Clusters = NDArray[np.integer[Any]] | None
"""Which cluster each value belongs to [n]; None if all are independent."""

GAUSSIAN_MAD = 1.482602218505602
"""Standard deviation of a Gaussian over its median absolute deviation."""
ONE_SIGMA, TWO_SIGMA = 0.6826894921370859, 0.9544997361036416
"""Share of a Gaussian within one and two standard deviations."""


class Estimate(NamedTuple):
    """A number and its standard error, in the same unit; NaN where there are too few values to tell."""

    value: float
    error: float


NOTHING = Estimate(np.nan, np.nan)


def mean(values: Floats, clusters: Clusters = None) -> Estimate:
    """Return the mean of values [n]."""
    if values.size == 0:
        return NOTHING
    centre = float(values.mean())
    return Estimate(centre, _error_of_mean(values - centre, clusters))


def share(hits: NDArray[np.bool_], clusters: Clusters = None) -> Estimate:
    """Return the share of true values [n], in per cent, with its binomial error (Wilson's, never zero)."""
    n = hits.size
    if n == 0:
        return NOTHING
    p = float(hits.mean())
    wilson = np.sqrt(p * (1 - p) / n + 0.25 / n**2) / (1 + 1 / n)
    return Estimate(100 * p, 100 * max(float(wilson), _clustered(hits - p, clusters)))


def median(values: Floats, clusters: Clusters = None) -> Estimate:
    """Return the median of values [n]; its error is a quarter of the distance of two order statistics around it.

    The share of values below the true median is known to within s (binomial, or clustered), so that the quantiles
    0.5 - 2 s and 0.5 + 2 s bracket it with 95 % confidence, whatever the distribution.
    """
    n = values.size
    if n == 0:
        return NOTHING
    centre = float(np.median(values))
    if n == 1:
        return Estimate(centre, np.nan)
    spread = max(0.5 / np.sqrt(n), _clustered((values <= centre) - 0.5, clusters))
    low, high = np.quantile(values, [max(0.0, 0.5 - 2 * spread), min(1.0, 0.5 + 2 * spread)])
    return Estimate(centre, 0.25 * float(high - low))


def robust_std(values: Floats, clusters: Clusters = None) -> Estimate:
    """Return the standard deviation of a Gaussian with the median absolute deviation of values [n]."""
    if values.size < 2:
        return NOTHING
    deviation = median(np.abs(values - np.median(values)), clusters)
    return Estimate(GAUSSIAN_MAD * deviation.value, GAUSSIAN_MAD * deviation.error)


def std(values: Floats, clusters: Clusters = None) -> Estimate:
    """Return the standard deviation of values [n]; the error allows for heavy tails."""
    if values.size < 2:
        return NOTHING
    squares = mean((values - values.mean()) ** 2, clusters)
    return _root(squares)


def rms(values: Floats, clusters: Clusters = None) -> Estimate:
    """Return the root of the mean square of values [n]."""
    return _root(mean(values**2, clusters))


def _root(square: Estimate) -> Estimate:
    root = float(np.sqrt(square.value))
    return Estimate(root, square.error / (2 * root) if root > 0 else 0.0)


def _error_of_mean(deviations: Floats, clusters: Clusters) -> float:
    n = deviations.size
    if n < 2:
        return float("nan")
    independent = float(np.sqrt((deviations**2).sum() / (n * (n - 1))))
    return max(independent, _clustered(deviations, clusters))


def _clustered(deviations: NDArray[np.floating[Any]], clusters: Clusters) -> float:
    """Return the standard error of a mean from the sums of its deviations over each cluster; 0 without clusters."""
    if clusters is None:
        return 0.0
    if clusters.size == 0:
        return 0.0
    low = clusters.min()
    if clusters.max() - low <= 10 * clusters.size:  # row numbers of templates: nothing to sort
        which = clusters - low
        sums = np.bincount(which, weights=deviations)[np.bincount(which) > 0]
    else:
        _, which = np.unique(clusters, return_inverse=True)
        sums = np.bincount(which, weights=deviations)
    if sums.size < 2:  # one cluster says nothing about the others
        return 0.0
    return float(np.sqrt((sums**2).sum() * sums.size / (sums.size - 1)) / deviations.size)
