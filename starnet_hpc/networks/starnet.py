"""The paper's network: two convolutions, one pooling, two dense layers (Bialek et al. 2020, section 2.1)."""

from collections.abc import Callable

from torch import Tensor, nn

from starnet_hpc.kernels.pooling import FILTERS, pooled_length
from starnet_hpc.networks.convolutions import PooledConvolutions
from starnet_hpc.networks.network import Network
from starnet_hpc.networks.view import View


class StarNet(Network):
    """40.4 million parameters at 39,436 pixels, 99.9 % of them in the first dense layer."""

    def __init__(self, view: View, head: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.view = view
        self.convolutions = PooledConvolutions(view.channels)
        self.dense = nn.Sequential(
            nn.Linear(FILTERS * pooled_length(view.pixels), 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()
        )
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head = head(128)

    def hidden(self, flux: Tensor) -> Tensor:  # noqa: D102
        hidden: Tensor = self.dense(self.convolutions(self.view(flux)))
        return hidden
