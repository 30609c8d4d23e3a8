"""The mean of stars that differ by more than their errors: maximum likelihood of a Gaussian population."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from starnet_hpc.statistics.estimates import NOTHING, Estimate, Floats

_HALF, _ONE_SIDED_95 = 0.5, 1.3528
"""By how much the log-likelihood falls at the ends of a 68.3 % interval, and at a one-sided limit of 95 %."""


class Population(NamedTuple):
    """Mean and intrinsic scatter of a population, in the unit of its values."""

    mean: Estimate
    scatter: Estimate
    """Standard deviation of the true values; its error is half the length of the 68.3 % interval that is not negative.
    """
    scatter_limit: float
    """With 95 % confidence (or more, where it may be zero) the scatter is smaller."""


def population(values: Floats, sigmas: Floats) -> Population:
    """Return the most likely mean and scatter of true values, given values [n] with Gaussian errors [n].

    Each value is drawn with variance sigma^2 + scatter^2 about the mean, which is then the mean weighted by the inverse
    of that (Pryor & Meylan 1993, ASP Conf. 50, 357). Intervals of the scatter come from the likelihood at the best
    mean for each scatter. Of a single value, the scatter is not known; of none, nothing.
    """
    if values.size == 0:
        return Population(NOTHING, NOTHING, np.nan)
    if values.size == 1:
        return Population(Estimate(float(values[0]), float(sigmas[0])), NOTHING, np.nan)

    def mean_of(scatter: float) -> Estimate:
        weight = 1.0 / (sigmas**2 + scatter**2)
        return Estimate(float((weight * values).sum() / weight.sum()), float(weight.sum() ** -0.5))

    def loss(scatter: float) -> float:
        variance = sigmas**2 + scatter**2
        return float(0.5 * (np.log(variance) + (values - mean_of(scatter).value) ** 2 / variance).sum())

    best = _smallest(loss, float(np.ptp(values)) + float(sigmas.max()))
    least = loss(best)

    def crossing(fall: float) -> float:
        """Return the larger scatter at which the log-likelihood has fallen by so much."""
        high = best + float(sigmas.max())
        while loss(high) < least + fall:
            high *= 2.0
        return float(brentq(lambda scatter: loss(scatter) - least - fall, best, high))

    low = 0.0 if loss(0.0) <= least + _HALF else float(brentq(lambda s: loss(s) - least - _HALF, 0.0, best))
    return Population(mean_of(best), Estimate(best, 0.5 * (crossing(_HALF) - low)), crossing(_ONE_SIDED_95))


def _smallest(loss: Callable[[float], float], largest: float) -> float:
    """Return the scatter from 0 to `largest` with the smallest loss: of a fine grid, then between its points."""
    grid = np.concatenate([[0.0], np.geomspace(1e-4 * largest, largest, 60)])
    at = int(np.argmin([loss(float(scatter)) for scatter in grid]))
    low, high = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, grid.size - 1)])
    found = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7 * largest}).x)
    return found if loss(found) < loss(0.0) else 0.0
