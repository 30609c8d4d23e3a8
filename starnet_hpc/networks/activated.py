"""Normalisation, ReLU and convolution, the residual network's building block."""

import torch
from torch import Tensor, nn

from starnet_hpc.kernels.rectify import rectified, rectified_sum
from starnet_hpc.networks.layout import Convolution
from starnet_hpc.networks.normalisation import BatchNorm
from starnet_hpc.networks.threads import for_each, kernels_serve


class Activated(nn.Sequential):
    """Normalise the sum of some activations, set what is negative to zero, convolve.

    These are torch's layers, and while they learn they do the work. On a CPU that predicts, a kernel does all that
    comes before the convolution in one pass, to rounding with the same result.
    """

    def __init__(self, convolution: Convolution, *more: nn.Module) -> None:
        """Take a convolution, and what follows it."""
        super().__init__(BatchNorm(convolution.in_channels), nn.ReLU(), convolution, *more)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return [batch, channels_out, 1, pixels] of the sum of one or two tensors [batch, channels, 1, pixels]."""
        norm, relu, *rest = self
        if isinstance(norm, BatchNorm) and _kernel_applies(norm, x):
            x = _by_kernel(norm, x, *others)
        else:
            for other in others:
                x = x + other
            x = relu(norm(x))
        for layer in rest:
            x = layer(x)
        return x


def _kernel_applies(norm: BatchNorm, x: Tensor) -> bool:
    return not norm.training and not torch.is_grad_enabled() and kernels_serve(x, norm.weight)


def _by_kernel(norm: BatchNorm, *terms: Tensor) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise RuntimeError("batch normalisation without statistics")
    slope = norm.weight * torch.rsqrt(variance + norm.eps)
    scale, shift = slope.numpy(), (norm.bias - mean * slope).numpy()
    # Channels last: [batch, pixels, channels] in memory.
    given = [term.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)[:, 0].numpy() for term in terms]
    found = torch.empty_like(terms[0], memory_format=torch.channels_last)
    out = found.permute(0, 2, 3, 1)[:, 0].numpy()
    if len(given) == 1:
        for_each(len(out), lambda row: rectified(given[0][row], scale, shift, out[row]))
    else:
        for_each(len(out), lambda row: rectified_sum(given[0][row], given[1][row], scale, shift, out[row]))
    return found
