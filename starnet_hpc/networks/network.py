"""What all networks have in common: a view, layers that end in a hidden one, and a head."""

from torch import Tensor, nn

from starnet_hpc.networks.heads import Prediction
from starnet_hpc.networks.view import View


class Network(nn.Module):
    """From spectra to what is said of their labels."""

    view: View
    head: nn.Module

    def hidden(self, flux: Tensor) -> Tensor:
        """Return the last hidden layer [batch, features] of normalised flux [batch, pixels], 0 where it is masked."""
        raise NotImplementedError

    def forward(self, flux: Tensor) -> Prediction:
        """Return what normalised flux [batch, pixels], which is 0 where masked, says of the labels."""
        prediction: Prediction = self.head(self.hidden(flux))
        return prediction
