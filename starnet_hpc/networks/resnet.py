"""The default network: compact and residual, chosen by measurement at equal cost (docs/networks.md)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from starnet_hpc.networks.activated import Activated
from starnet_hpc.networks.layout import Convolution
from starnet_hpc.networks.network import Network
from starnet_hpc.networks.view import View

_STEM = 32
_STEM_LENGTH = 16
_STEM_STRIDE = 8
"""Each step takes in eight new pixels and has four times as many filters, so that nothing need be lost, and the layers
that follow have an eighth of the places to pass over."""
_SQUEEZE = 16


class ResNet(Network):
    """A strided stem, stages that halve the pixels, a squeeze, one dense layer."""

    def __init__(self, view: View, head: Callable[[int], nn.Module], *, channels: Sequence[int], dense: int) -> None:
        super().__init__()
        self.view = view
        # Layers whose output goes into a normalisation have no biases: it would take them away again, and their
        # gradients would be rounding errors.
        self.stem = Convolution(
            view.channels, _STEM, _STEM_LENGTH, stride=_STEM_STRIDE, padding=_STEM_LENGTH // 2, bias=False
        )
        widths = [_STEM, *channels]
        self.stages = nn.ModuleList(_Stage(a, b) for a, b in pairwise(widths))
        self.squeeze = Activated(Convolution(widths[-1], _SQUEEZE, 1), nn.ReLU())
        length = view.pixels // _STEM_STRIDE + 1
        for _ in channels:
            length = -(-length // 2)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(_SQUEEZE * length, dense), nn.ReLU())
        self.head = head(dense)

    def hidden(self, flux: Tensor) -> Tensor:  # noqa: D102
        terms: tuple[Tensor, ...] = (self.stem(self.view(flux)[:, :, None, :]),)
        for stage in self.stages:
            terms = stage(*terms)
        hidden: Tensor = self.dense(self.squeeze(*terms))
        return hidden


class _Stage(nn.Module):
    """A convolution that halves the pixels, then one whose output is added to its input.

    Normalisation and ReLU come before each (He et al. 2016). A shortcut round the first one would be a strided 1 x 1
    convolution, which takes as long as a long one.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.halve = Activated(_convolution(channels_in, channels_out, stride=2))
        self.refine = Activated(_convolution(channels_out, channels_out))

    def forward(self, *terms: Tensor) -> tuple[Tensor, Tensor]:
        """Return two tensors of which the sum is meant, as are those that are given: who comes next adds them up."""
        halved: Tensor = self.halve(*terms)
        return halved, self.refine(halved)


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> Convolution:
    return Convolution(channels_in, channels_out, 5, stride=stride, padding=2, bias=False)
