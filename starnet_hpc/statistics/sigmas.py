"""Whether sigmas are the size of the errors: factors on them, and scores of Gaussian predictions.

A pull is (truth - mean) / sigma: for right sigmas and Gaussian errors, a unit Gaussian. Arrays are [n, labels] with
n > 0, all finite, and what comes back is [labels].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from starnet_hpc.statistics.estimates import ONE_SIGMA, Floats

_GROUPS = 10
"""Into which a jackknife deals the clusters."""


def temperature(pull: Floats) -> Floats:
    """Return the factor on sigma with which the Gaussian likelihood is largest.

    With sigma times t the loss is mean(ln t + pull^2 / (2 t^2)); its smallest value is at t^2 = mean(pull^2). A few
    pulls of many sigma weigh as much in it as they do in the loss.
    """
    return np.asarray(np.sqrt(np.mean(np.square(pull), axis=0)))


def one_sigma_factor(pull: Floats) -> Floats:
    """Return the factor on sigma with which one sigma holds 68.27 % of the errors, however few are far outside."""
    return np.asarray(np.quantile(np.abs(pull), ONE_SIGMA, axis=0))


def jackknife_error(statistic: Callable[[Floats], Floats], pull: Floats, clusters: NDArray[np.integer[Any]]) -> Floats:
    """Return the standard error of a statistic [labels] of pulls [n, labels]; NaN with fewer than ten clusters.

    Rows of one cluster [n] (of one template, say) fail together, so groups of whole clusters are left out, not rows
    (a delete-a-group jackknife; Kott 2001, J. Official Statistics 17, 521).
    """
    known, position = np.unique(clusters, return_inverse=True)
    if known.size < _GROUPS:
        return np.full(pull.shape[1:], np.nan)
    group = position % _GROUPS
    parts = np.stack([statistic(pull[group != g]) for g in range(_GROUPS)])
    return np.asarray(np.sqrt((_GROUPS - 1) / _GROUPS * np.square(parts - parts.mean(axis=0)).sum(axis=0)))


def log_likelihood_loss(pull: Floats, sigma: Floats) -> Floats:
    """Return the mean of ln(sigma) + pull^2 / 2: the loss of training (eq. 1), without the constant ln(2 pi)/2."""
    return np.asarray(np.mean(np.log(sigma) + 0.5 * np.square(pull), axis=0))


def crps(pull: Floats, sigma: Floats) -> Floats:
    """Return the mean continuous ranked probability score, in the unit of sigma; smaller is better."""
    return np.asarray(crps_of_each(pull, sigma).mean(axis=0))


def crps_of_each(pull: Floats, sigma: Floats) -> Floats:
    """Return the continuous ranked probability score of each Gaussian prediction, in the unit of sigma, as `pull`.

    It is the absolute error of a prediction that is a distribution. For a Gaussian it is closed (Gneiting & Raftery
    2007, J. Am. Stat. Assoc. 102, 359, eq. 21); its mean is sigma / sqrt(pi) where sigma is right.
    """
    density = np.exp(-0.5 * np.square(pull)) / np.sqrt(2 * np.pi)
    return np.asarray(sigma * (pull * (2 * ndtr(pull) - 1) + 2 * density - 1 / np.sqrt(np.pi)))


def probability_integral(pull: Floats) -> Floats:
    """Return where in its predicted Gaussian each truth lies [n, labels], from 0 to 1; uniform if sigmas are right."""
    return np.asarray(ndtr(pull))


def uniform_distance(places: Floats) -> Floats:
    """Return the largest distance of the distribution of places in 0 to 1 from the uniform one (Kolmogorov-Smirnov)."""
    ordered = np.sort(places, axis=0)
    n = ordered.shape[0]
    rank = np.arange(n).reshape(-1, *[1] * (ordered.ndim - 1))
    return np.asarray(np.maximum((rank + 1) / n - ordered, ordered - rank / n).max(axis=0))
