"""How far from the training spectra the last hidden layer puts another spectrum (Lee et al. 2018, for one class).

A network answers whatever it is shown, and its sigma knows only what training spectra could teach. Spectra of another
kind (a second star, a misplaced wavelength, a line list that lacks what is there) often lie elsewhere in the layer from
which all labels are read off: away from the mean, in directions in which training spectra hardly differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

_RIDGE = 1e-3
"""Share of the features' mean variance that is added to that of each direction. Some features are always zero, others
nearly multiples of each other: the smallest variances are those of rounding, by which nothing may be divided."""


@dataclass(frozen=True)
class FeatureMoments:
    """Mean and scatter of the last hidden layer over some spectra; float64, on the CPU."""

    rows: int
    mean: Tensor
    """[features]."""
    scatter: Tensor
    """Sum over the spectra of the products of differences from the mean [features, features]."""

    @classmethod
    def of(cls, hidden: Tensor) -> "FeatureMoments":
        """Return the moments of hidden layers [n, features], n > 0."""
        wide = hidden.double()
        mean = wide.mean(dim=0)
        apart = wide - mean
        return cls(wide.shape[0], mean.cpu(), (apart.T @ apart).cpu())

    def merge(self, other: "FeatureMoments") -> "FeatureMoments":
        """Return the moments of both groups of spectra together (Chan et al. 1979)."""
        rows = self.rows + other.rows
        delta = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(delta, delta) * (self.rows * other.rows / rows)
        return FeatureMoments(rows, self.mean + delta * (other.rows / rows), scatter)


@dataclass(frozen=True)
class FeatureSpace:
    """Where training spectra lie in the last hidden layer of one member."""

    mean: Tensor
    """[features], float64."""
    whitening: Tensor
    """[features, features], float64: differences from the mean times this have unit variance and no correlations."""
    rows: int
    """Training spectra behind it."""

    @classmethod
    def of(cls, parts: Iterable[FeatureMoments]) -> "FeatureSpace":
        """Return the space of spectra whose moments come in parts, at least one, merged in this order."""
        first, *others = parts
        whole = first
        for part in others:
            whole = whole.merge(part)
        variances, directions = torch.linalg.eigh(whole.scatter / max(whole.rows - 1, 1))
        ridge = _RIDGE * float(variances.mean().clamp(min=torch.finfo(torch.float32).tiny))
        return cls(whole.mean, directions / (variances.clamp(min=0.0) + ridge).sqrt(), whole.rows)

    def to(self, device: str) -> "FeatureSpace":
        """Return the same on a device."""
        return FeatureSpace(self.mean.to(device), self.whitening.to(device), self.rows)

    def distance(self, hidden: Tensor) -> Tensor:
        """Return the Mahalanobis distance over the root of the number of features [batch], float64.

        The mean of its square over the training spectra is 1, or somewhat less where features are redundant.

        Args:
            hidden: last hidden layers [batch, features].
        """
        return ((hidden.double() - self.mean) @ self.whitening).square().mean(dim=1).sqrt()
