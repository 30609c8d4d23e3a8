"""Output layers, and what they say of a label: one Gaussian, or a mixture of several (Bishop 1994)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet_hpc.config import NetworkConfig

_START_WEIGHT = 0.01
_START_REACH = 1.0
"""A mixture's means start spread over so many standard deviations of the labels to both sides: alike, they would learn
the same."""


class Gaussian(NamedTuple):
    """A Gaussian for each standardised label."""

    mean: Tensor
    """[batch, labels]."""
    variance: Tensor
    """[batch, labels], not below the floor."""

    def log_likelihood(self, labels: Tensor) -> Tensor:
        """Return the logarithm of the density at `labels` [batch, labels], without its constant -ln(2 pi)/2."""
        return _log_likelihood(self.mean, self.variance, labels)

    def cumulative(self, labels: Tensor) -> Tensor:
        """Return the share of the distribution below `labels` [batch, labels]."""
        return _cumulative(self.mean, self.variance, labels)


class Mixture(NamedTuple):
    """A sum of Gaussians for each standardised label."""

    log_weight: Tensor
    """Logarithm of each Gaussian's share [batch, labels, components]; the shares of a label add up to one."""
    means: Tensor
    """[batch, labels, components]."""
    variances: Tensor
    """[batch, labels, components], not below the floor."""

    @property
    def mean(self) -> Tensor:
        """Mean of the whole [batch, labels]."""
        return (self.log_weight.exp() * self.means).sum(dim=-1)

    @property
    def variance(self) -> Tensor:
        """Variance of the whole [batch, labels]: the mean variance plus the variance of the means."""
        spread = (self.means - self.mean[..., None]).square()
        return (self.log_weight.exp() * (self.variances + spread)).sum(dim=-1)

    def log_likelihood(self, labels: Tensor) -> Tensor:
        """Return the logarithm of the density at `labels` [batch, labels], without its constant -ln(2 pi)/2."""
        return torch.logsumexp(self.log_weight + _log_likelihood(self.means, self.variances, labels[..., None]), dim=-1)

    def cumulative(self, labels: Tensor) -> Tensor:
        """Return the share of the distribution below `labels` [batch, labels]."""
        return (self.log_weight.exp() * _cumulative(self.means, self.variances, labels[..., None])).sum(dim=-1)


Prediction = Gaussian | Mixture
"""What a network says of a batch; both have `mean`, `variance`, `log_likelihood` and `cumulative`, all in float32."""


class GaussianHead(nn.Module):
    """Mean and variance of each standardised label, from the last hidden layer."""

    def __init__(self, features: int, labels: int, variance_floor: float) -> None:
        super().__init__()
        self.linear = _linear(features, 2 * labels)
        self.variance_floor = variance_floor

    def forward(self, features: Tensor) -> Gaussian:
        """Return the Gaussians of each label for features [batch, features]."""
        mean, raw = _in_float32(self.linear, features).chunk(2, dim=1)
        return Gaussian(mean, functional.softplus(raw) + self.variance_floor)


class MixtureHead(nn.Module):
    """Share, mean and variance of several Gaussians for each standardised label, from the last hidden layer."""

    def __init__(self, features: int, labels: int, components: int, variance_floor: float) -> None:
        super().__init__()
        self.linear = _linear(features, 3 * labels * components)
        self.shape = (labels, components)
        self.variance_floor = variance_floor
        if components > 1:
            start = torch.linspace(-_START_REACH, _START_REACH, components).repeat(labels)
            with torch.no_grad():
                self.linear.bias[: start.numel()] = start

    def forward(self, features: Tensor) -> Mixture:
        """Return the mixture of each label for features [batch, features]."""
        means, raw, share = _in_float32(self.linear, features).reshape(-1, 3, *self.shape).unbind(1)
        return Mixture(functional.log_softmax(share, dim=-1), means, functional.softplus(raw) + self.variance_floor)


def make_head(features: int, labels: int, config: NetworkConfig) -> nn.Module:
    """Return the output layer of a configuration, behind a layer of so many features."""
    if config.head == "mixture":
        return MixtureHead(features, labels, config.components, config.variance_floor)
    return GaussianHead(features, labels, config.variance_floor)


def negative_log_likelihood(prediction: Prediction, labels: Tensor, beta: float = 0.0) -> Tensor:
    """Return the mean over batch and labels of -ln(density), without the constant ln(2 pi)/2.

    For Gaussians that is ln(variance)/2 + (label - mean)^2 / (2 variance): Bialek et al. (2020), eq. 1.

    Args:
        prediction: of a batch.
        labels: true ones [batch, labels], standardised.
        beta: each term is weighted with variance^beta, through which no gradient goes (Seitzer et al. 2022, eq. 5).
            The likelihood itself (0) takes little notice of what it has already given a large variance; with 1, means
            are learned as by least squares. The sum is then no likelihood any more, and serves only to learn from.
    """
    surprise = -prediction.log_likelihood(labels)
    if beta > 0:
        surprise = surprise * prediction.variance.detach() ** beta
    return surprise.mean()


def _log_likelihood(mean: Tensor, variance: Tensor, labels: Tensor) -> Tensor:
    return -0.5 * (torch.log(variance) + (labels - mean) ** 2 / variance)


def _cumulative(mean: Tensor, variance: Tensor, labels: Tensor) -> Tensor:
    share: Tensor = torch.special.ndtr((labels - mean) / variance.sqrt())
    return share


def _linear(features: int, outputs: int) -> nn.Linear:
    """Return a layer that says nearly the same of everything before it has learned."""
    linear = nn.Linear(features, outputs)
    nn.init.normal_(linear.weight, std=_START_WEIGHT)
    nn.init.zeros_(linear.bias)
    return linear


def _in_float32(linear: nn.Linear, features: Tensor) -> Tensor:
    """Return what a layer gives in float32, whatever the layers before compute in.

    In 16 bits a mean of one standard deviation, 800 K of Teff, is rounded to 0.4 %: 3 K.
    """
    with torch.autocast(features.device.type, enabled=False):
        out: Tensor = linear(features.float())
    return out
