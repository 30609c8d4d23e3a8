"""Batch normalisation whose statistics can span the processes that train together."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of [batch, channels, pixels].

    `gather` returns the tensors [processes, ...] of all processes, differentiably. Where it is set, a step of several
    processes equals the step of one process with the whole batch; torch's own SyncBatchNorm does not run on CPUs. All
    processes must have batches of the same size.
    """

    gather: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.gather is None or not self.training:
            return super().forward(x)
        # In float32 whatever the layers around compute in, and never as the mean square minus the squared mean: that
        # difference can come out negative.
        own = torch.stack(torch.var_mean(x.float(), dim=(0, 2), correction=0))
        variances, means = self.gather(own).unbind(1)
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        self._track(mean.detach(), variance.detach(), means.shape[0] * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (x * scale[:, None] + (self.bias - mean * scale)[:, None]).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Take note of a batch for the time when the network predicts, as torch does."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def span_ranks(network: nn.Module, gather: Callable[[Tensor], Tensor]) -> None:
    """Let all batch normalisations of a network take their statistics over all processes."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.gather = gather
