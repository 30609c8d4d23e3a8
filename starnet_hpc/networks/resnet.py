"""The default network: compact and residual. It reaches a fifth of the paper network's residuals at the same cost."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from starnet_hpc.networks.heads import Prediction
from starnet_hpc.networks.normalisation import BatchNorm
from starnet_hpc.networks.view import View

_STEM = 16
_SQUEEZE = 16


class ResNet(nn.Module):
    """A strided stem, pre-activation blocks (He et al. 2016) that halve the pixels, a squeeze, one dense layer."""

    def __init__(self, view: View, head: Callable[[int], nn.Module], *, channels: Sequence[int], dense: int) -> None:
        super().__init__()
        self.view = view
        # Layers whose output goes into a normalisation have no biases: it would take them away again, and their
        # gradients would be rounding errors.
        self.stem = nn.Conv1d(view.channels, _STEM, 9, stride=4, padding=4, bias=False)
        widths = [_STEM, *channels]
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise(widths)))
        self.squeeze = nn.Sequential(BatchNorm(widths[-1]), nn.ReLU(), nn.Conv1d(widths[-1], _SQUEEZE, 1), nn.ReLU())
        length = -(-view.pixels // 4)
        for _ in channels:
            length = -(-length // 2)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(_SQUEEZE * length, dense), nn.ReLU())
        self.head = head(dense)

    def forward(self, flux: Tensor) -> Prediction:
        """Return what normalised flux [batch, pixels], which is 0 where masked, says of the labels."""
        prediction: Prediction = self.head(self.dense(self.squeeze(self.blocks(self.stem(self.view(flux))))))
        return prediction


class _Block(nn.Module):
    """Two convolutions beside a strided shortcut; normalisation and ReLU come before each convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            BatchNorm(channels_in), nn.ReLU(), nn.Conv1d(channels_in, channels_out, 5, stride=2, padding=2, bias=False)
        )
        self.second = nn.Sequential(
            BatchNorm(channels_out), nn.ReLU(), nn.Conv1d(channels_out, channels_out, 5, padding=2, bias=False)
        )
        self.shortcut = nn.Conv1d(channels_in, channels_out, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        second: Tensor = self.second(self.first(x))
        shortcut: Tensor = self.shortcut(x)
        return second + shortcut
