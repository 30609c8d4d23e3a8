"""A Gaussian for each label: the output layer, the loss, and the way back to physical units."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class GaussianHead(nn.Module):
    """Mean and variance of each standardised label, from the last hidden layer."""

    def __init__(self, features: int, labels: int, variance_floor: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 2 * labels)
        self.variance_floor = variance_floor
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance [batch, labels] of the standardised labels."""
        mean, raw = self.linear(features).float().chunk(2, dim=1)
        return mean, functional.softplus(raw) + self.variance_floor


def negative_log_likelihood(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Return the mean over batch and labels of ln(variance)/2 + (target - mean)^2 / (2 variance).

    Bialek et al. (2020), eq. 1: without the constant ln(2 pi)/2. All arguments [batch, labels], standardised.
    """
    return 0.5 * (torch.log(variance) + (target - mean) ** 2 / variance).mean()


@dataclass(frozen=True)
class LabelScale:
    """Standardisation of labels: (label - mean) / std, with the statistics of the training store."""

    mean: NDArray[np.float64]
    """[labels], physical units."""
    std: NDArray[np.float64]
    """[labels], physical units, > 0."""

    def standardised(self, labels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return standardised labels [n, labels]."""
        return ((labels - self.mean) / self.std).astype(np.float32)

    def physical(
        self, mean: NDArray[np.floating], variance: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance [n, labels] in physical units, float64: a variance scales with std squared."""
        wide = np.asarray(mean, dtype=np.float64)
        return wide * self.std + self.mean, np.asarray(variance, dtype=np.float64) * self.std**2
