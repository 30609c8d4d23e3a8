"""The ensemble's answer from its members' answers (Bialek et al. 2020, eqs 2 and 3), in float64.

The paper writes the variance as mean(sigma^2 + mu^2) - mean(mu)^2. With Teff ~ 5000 K +- 1 mK that difference of large
numbers loses all digits; the same quantity as mean variance plus variance of the means does not.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]
"""[..., 4]: number of members, mean, sum of squared differences from the mean (M2), mean variance."""


@dataclass(frozen=True)
class Combined:
    """The ensemble's prediction, each [n, labels] in physical units."""

    mean: NDArray[np.float64]
    aleatoric: NDArray[np.float64]
    """Standard deviation that the members claim: the square root of their mean variance."""
    epistemic: NDArray[np.float64]
    """Standard deviation of the members' means about their mean."""

    @property
    def total(self) -> NDArray[np.float64]:
        """Standard deviation of the ensemble's distribution (eq. 3)."""
        return np.hypot(self.aleatoric, self.epistemic)


def moments(mean: NDArray[np.floating], variance: NDArray[np.floating]) -> Moments:
    """Return the moments [..., 4] of one member's prediction."""
    wide = np.asarray(mean, dtype=np.float64)
    return np.stack([np.ones_like(wide), wide, np.zeros_like(wide), np.asarray(variance, dtype=np.float64)], axis=-1)


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of two groups of members together (Chan et al. 1979); an empty group changes nothing."""
    count = a[..., 0] + b[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(count > 0, b[..., 0] / count, 0.0)
    delta = b[..., 1] - a[..., 1]
    merged = np.stack(
        [
            count,
            a[..., 1] + delta * share,
            a[..., 2] + b[..., 2] + delta * delta * a[..., 0] * share,
            a[..., 3] + (b[..., 3] - a[..., 3]) * share,
        ],
        axis=-1,
    )
    # An empty side's zeros must not disturb the last bits of the other side.
    merged = np.where(a[..., :1] == 0, b, merged)
    return np.where(b[..., :1] == 0, a, merged)


def combined(total: Moments) -> Combined:
    """Return the prediction that merged moments stand for."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(total[..., 2] / total[..., 0])
    return Combined(mean=total[..., 1], aleatoric=np.sqrt(total[..., 3]), epistemic=spread)


def label_pairs(labels: int) -> list[tuple[int, int]]:
    """Return the pairs of different labels, by their numbers, in the order of `correlations`."""
    return list(combinations(range(labels), 2))


def correlations(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how the members' answers for two labels go together in each row, from -1 to 1 [rows, pairs].

    NaN where members do not differ: of a single one, always. Of two it is 1 or -1 by construction.

    Args:
        means: answer of each member [members, rows, labels].
    """
    apart = means - means.mean(axis=0)
    spread = np.sqrt(np.square(apart).sum(axis=0))
    pairs = label_pairs(means.shape[2])
    found = np.empty((means.shape[1], len(pairs)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, (a, b) in enumerate(pairs):
            # Each divided by its own length first: products of the smallest spreads would be zero.
            found[:, place] = (apart[..., a] / spread[:, a] * (apart[..., b] / spread[:, b])).sum(axis=0)
    return np.clip(found, -1.0, 1.0)
