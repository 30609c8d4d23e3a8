"""Convolutions over pixels in the order of memory that is fastest: a pixel's channels beside each other.

Libraries vectorise over channels. Where the pixels of a channel lie beside each other, as in torch's own order, they
rearrange every activation on its way in and out. They know the other order for images only, so that spectra are images
of height one here: [batch, channels, 1, pixels].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Convolution(nn.Conv1d):
    """`nn.Conv1d`, with its weights and its results, for images of height one; what it gives is channels last."""

    def __init__(
        self, channels_in: int, channels_out: int, taps: int, *, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__(channels_in, channels_out, taps, stride=stride, padding=padding, bias=bias)
        self._steps, self._ends = (1, stride), (0, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, channels_out, 1, pixels] of x [batch, channels_in, 1, pixels]."""
        weight = self.weight[:, :, None]
        if weight.requires_grad:
            # Gradients are summed up, over processes, too, in the weights' own order.
            weight.register_hook(_copy_in_torchs_order)  # type: ignore[no-untyped-call]
        # The weights' order decides that of the results. They are few, and a clone has it even where `contiguous` would
        # leave them as they are: those of a single channel are in both orders.
        weight = weight.clone(memory_format=torch.channels_last)
        return functional.conv2d(x, weight, self.bias, self._steps, self._ends)


def _copy_in_torchs_order(gradient: Tensor) -> Tensor:
    return gradient.clone(memory_format=torch.contiguous_format)
