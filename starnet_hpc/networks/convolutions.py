"""StarNet's convolutions, by a kernel that does them in one pass where that can be: in float32, on CPUs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from starnet_hpc.kernels.pooling import CHANNELS, FILTERS, POOL, TAPS, Filters, pooled, pooled_gradient, pooled_length
from starnet_hpc.networks.threads import for_each, kernels_serve


class PooledConvolutions(nn.Sequential):
    """Two convolutions, each with a ReLU, and the largest of every four pixels.

    These are torch's layers, and on GPUs, for other arithmetic, with a second channel and under a compiler they do the
    work. Elsewhere a kernel does it with their weights, to rounding with the same result, in a fifth of the time.
    """

    def __init__(self, channels: int) -> None:
        first, second = nn.Conv1d(channels, CHANNELS, TAPS), nn.Conv1d(CHANNELS, FILTERS, TAPS)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool1d(POOL), nn.Flatten())

    def forward(self, flux: Tensor) -> Tensor:
        """Return the pooled features [batch, 16 x `pooled_length`] of flux [batch, channels, pixels]."""
        weights = list(self.parameters())
        features: Tensor
        if _kernel_applies(flux, weights[0]):
            keep = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
            features = _ByKernel.apply(keep, flux[:, 0], *weights)  # type: ignore[no-untyped-call]  # torch leaves it so
        else:
            features = super().forward(flux)  # type: ignore[no-untyped-call]  # torch leaves it so
        return features


def _kernel_applies(flux: Tensor, weight: Tensor) -> bool:
    # Nobody who trains or predicts asks for a gradient of the flux.
    return flux.shape[1] == 1 and not flux.requires_grad and kernels_serve(flux, weight)


class _ByKernel(torch.autograd.Function):
    """The kernel and its gradient with respect to the weights, spectrum by spectrum on torch's number of threads."""

    @staticmethod
    def forward(ctx: Any, keep: bool, flux: Tensor, *weights: Tensor) -> Tensor:
        filters = _filters(weights)
        rows, length = flux.shape[0], pooled_length(flux.shape[1])
        features = torch.empty((rows, FILTERS, length))
        winner = torch.empty((rows, FILTERS, length) if keep else (rows, 0, 0), dtype=torch.uint8)
        x, out, won = flux.contiguous().numpy(), features.numpy(), winner.numpy()
        for_each(rows, lambda row: pooled(x[row], filters, out[row], won[row]))
        ctx.save_for_backward(flux, winner, *weights)
        return features.view(rows, FILTERS * length)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flux, winner, *weights = ctx.saved_tensors
        filters = _filters(weights)
        rows = flux.shape[0]
        x, won = flux.contiguous().numpy(), winner.numpy()
        given = gradient.contiguous().numpy().reshape(won.shape)
        # Each spectrum has sums of its own, added up in order: the bits do not depend on the number of threads.
        own = Filters(*(np.zeros((rows, *weight.shape), np.float32) for weight in filters))
        for_each(
            rows, lambda row: pooled_gradient(x[row], filters, given[row], won[row], Filters(*(s[row] for s in own)))
        )
        totals = (torch.from_numpy(s.sum(axis=0)).view_as(weight) for s, weight in zip(own, weights, strict=True))
        return None, None, *totals


def _filters(weights: Sequence[Tensor]) -> Filters:
    arrays: list[NDArray[np.float32]] = [weight.detach().contiguous().numpy() for weight in weights]
    return Filters(arrays[0][:, 0], *arrays[1:])
