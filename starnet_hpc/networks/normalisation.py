"""Batch normalisation whose statistics can span the processes that train together."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of [batch, channels, pixels].

    `sum_over_ranks` is a differentiable sum over all processes. Where it is set, a step of several processes equals the
    step of one process with the whole batch; torch's own SyncBatchNorm does not run on CPUs.
    """

    sum_over_ranks: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.sum_over_ranks is None or not self.training:
            return super().forward(x)
        count = torch.full((1,), x.numel() / x.shape[1], dtype=x.dtype, device=x.device)
        sums = self.sum_over_ranks(torch.cat([x.sum(dim=(0, 2)), (x * x).sum(dim=(0, 2)), count]))
        total = sums[-1].detach()
        mean, square = (sums[:-1] / total).chunk(2)
        variance = square - mean * mean
        self._track(mean.detach(), variance.detach() * total / (total - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale[:, None] + (self.bias - mean * scale)[:, None]

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        momentum = self.momentum if self.momentum is not None else 0.1
        assert self.running_mean is not None and self.running_var is not None
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def span_ranks(network: nn.Module, sum_over_ranks: Callable[[Tensor], Tensor]) -> None:
    """Let all batch normalisations of a network take their statistics over all processes."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.sum_over_ranks = sum_over_ranks
