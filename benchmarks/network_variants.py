"""Networks that were tried beside the default one, as one family with switches (docs/networks.md has the outcome)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from starnet_hpc.networks.heads import Gaussian, GaussianHead


class Variant(nn.Module):
    """The residual network of the first commit where all switches stand as they are here."""

    def __init__(
        self,
        pixels: int,
        labels: int,
        *,
        stem: tuple[int, int, int] = (16, 9, 4),
        channels: Sequence[int] = (24, 32, 48, 64, 96),
        kernel: int = 5,
        block: str = "residual",
        norm: str = "batch",
        act: str = "relu",
        squeeze: int = 16,
        dense: int = 256,
        head: str = "flatten",
    ) -> None:
        """Make a network.

        Args:
            pixels: of a spectrum.
            labels: to predict.
            stem: filters, length and stride of the first convolution.
            channels: of each stage, which halves the pixels.
            kernel: length of the filters after the stem.
            block: `residual`, two convolutions beside a strided 1 x 1 convolution; `transition`, a strided convolution,
                then one that is added to its input.
            norm: `batch`, before each convolution; `none`, a gain on each branch that starts at zero.
            act: `relu` or `silu`.
            squeeze: channels that are flattened.
            dense: nodes of the last hidden layer.
            head: `flatten`, or `pool`: mean and largest value over the pixels of each channel.
        """
        super().__init__()
        made = _Maker(kernel, norm, act)
        filters, length, stride = stem
        self.stem = made.conv(1, filters, length, stride)
        widths = [filters, *channels]
        self.stages = nn.Sequential(*(_STAGES[block](made, a, b) for a, b in pairwise(widths)))
        size = -(-pixels // stride)
        for _ in channels:
            size = -(-size // 2)
        self.squeeze = nn.Sequential(made.norm(widths[-1]), made.act(), nn.Conv2d(widths[-1], squeeze, 1), made.act())
        self.pool = head == "pool"
        features = squeeze * (2 if self.pool else size)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(features, dense), made.act())
        self.head = GaussianHead(dense, labels, 1e-6)

    def forward(self, flux: Tensor) -> Gaussian:
        depth = torch.where(flux == 0, flux, flux - 1.0)[:, None, None, :]
        x = self.squeeze(self.stages(self.stem(depth)))
        if self.pool:
            x = torch.cat([x.mean(dim=3), x.amax(dim=3)], dim=1)
        said: Gaussian = self.head(self.dense(x))
        return said


class _Maker:
    """Layers as the switches say."""

    def __init__(self, kernel: int, norm: str, act: str) -> None:
        self.kernel, self.kind, self._act = kernel, norm, act

    def conv(self, a: int, b: int, length: int, stride: int = 1) -> nn.Module:
        biased = self.kind == "none"
        return nn.Conv2d(a, b, (1, length), stride=(1, stride), padding=(0, (length - 1) // 2), bias=biased)

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels) if self.kind == "batch" else nn.Identity()

    def act(self) -> nn.Module:
        return {"relu": nn.ReLU, "silu": nn.SiLU}[self._act]()

    def gain(self) -> nn.Module:
        return _Gain() if self.kind == "none" else nn.Identity()

    def step(self, a: int, b: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(self.norm(a), self.act(), self.conv(a, b, self.kernel, stride))


class _Residual(nn.Module):
    def __init__(self, made: _Maker, a: int, b: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(made.step(a, b, 2), made.step(b, b), made.gain())
        self.shortcut = made.conv(a, b, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        shortcut: Tensor = self.shortcut(x)
        return branch + shortcut


class _Transition(nn.Module):
    def __init__(self, made: _Maker, a: int, b: int) -> None:
        super().__init__()
        self.down = made.step(a, b, 2)
        self.branch = nn.Sequential(made.step(b, b), made.gain())

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return x + self.branch(x)


class _Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


_STAGES: dict[str, type[nn.Module]] = {"residual": _Residual, "transition": _Transition}
