"""Batch normalisation whose statistics can span the processes that train together."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Gather = Callable[[Tensor], Tensor]
"""From a process's own tensor to those [processes, ...] of all of them; not differentiable."""


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of [batch, channels, 1, pixels] (`networks/layout.py`).

    Where `gather` is set, statistics are taken over all processes, and a step of several processes equals the step of
    one process with the whole batch; torch's own SyncBatchNorm does not run on CPUs. All processes must have batches of
    the same size.
    """

    gather: Gather | None = None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.gather is None or not self.training:
            return super().forward(x)
        # In float32 whatever the layers around compute in, and never as the mean square minus the squared mean: that
        # difference can come out negative.
        with torch.no_grad():
            own = torch.stack(torch.var_mean(x.float(), dim=(0, 2, 3), correction=0))
            variances, means = self.gather(own).unbind(1)
            mean = means.mean(dim=0)
            variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
            self._track(mean, variance, means.shape[0] * x.numel() // x.shape[1])
        out: Tensor = _SpanningNorm.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            x, self.weight, self.bias, mean, variance, self.eps, self.gather
        )
        return out

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Take note of a batch for the time when the network predicts, as torch does."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class _SpanningNorm(torch.autograd.Function):
    """The normalisation itself, and its gradient, by torch's fused kernels and one sum over processes each way.

    Written with separate operations it would pass over the activations three times as often, and those passes are what
    a small network's step consists of.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, gather: Gather
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps))
        ctx.gather, ctx.eps = gather, eps
        return nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        # The fused kernel takes the batch for all there is: it centres the gradient with this process's own averages.
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        own_x, own_weight, own_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        count = x.numel() // x.shape[1]
        own = torch.stack([own_bias, own_weight]) / count
        shift, slope = (own - ctx.gather(own).mean(dim=0)).unbind(0)
        # What the averages over all processes would have taken away differs from that by a straight line in x.
        scale = weight * inverse
        slope = slope * inverse
        line = torch.stack([scale * slope, scale * (shift - mean * slope)])[:, :, None, None]
        change = own_x.addcmul_(x, line[0]).add_(line[1])
        return change, own_weight, own_bias, None, None, None, None


def span_ranks(network: nn.Module, gather: Gather) -> None:
    """Let all batch normalisations of a network take their statistics over all processes."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.gather = gather
