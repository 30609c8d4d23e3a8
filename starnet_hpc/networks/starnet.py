"""The paper's network: two convolutions, one pooling, two dense layers (Bialek et al. 2020, section 2.1)."""

from torch import Tensor, nn

from starnet_hpc.networks.gaussian import GaussianHead


class StarNet(nn.Module):
    """40.4 million parameters at 39,436 pixels, 99.9 % of them in the first dense layer."""

    def __init__(self, pixels: int, labels: int, *, variance_floor: float) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 4, 8), nn.ReLU(), nn.Conv1d(4, 16, 8), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten()
        )
        self.dense = nn.Sequential(nn.Linear(16 * ((pixels - 14) // 4), 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head = GaussianHead(128, labels, variance_floor)

    def forward(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance [batch, labels] for normalised flux [batch, pixels], which is 0 where masked."""
        mean, variance = self.head(self.dense(self.convolutions(flux[:, None, :])))
        return mean, variance
