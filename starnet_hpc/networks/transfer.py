"""A trained member's weights as the start of another network: on another grid, or for another instrument."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from starnet_hpc.errors import ConfigError
from starnet_hpc.networks.heads import MixtureHead
from starnet_hpc.networks.saved import Member, TrainedOn

_VIEW = "view"
_HEAD = "head"


@dataclass(frozen=True)
class Layer:
    """What became of a layer, or of a label's part of the head."""

    name: str
    """As its parameters are called, without their last part."""
    label: str | None = None
    """Of the head: which label's."""
    anew: str | None = None
    """Why it begins as it was drawn; None if it was taken over."""


@torch.no_grad()
def inherit(network: nn.Module, trained_on: TrainedOn, source: Member) -> list[Layer]:
    """Fill a new network with what fits of a member's weights; return what became of each layer.

    A layer is taken over whole, or begins as it was drawn: if it has another shape (the first dense layer, for another
    number of pixels), or is not there. The head is taken over label by label, and rescaled: with the same layers before
    it, the network predicts what the member does, in physical units. The mean is the same, and so is the variance as
    far as it is small against the label's own: with a scale half as wide again, it is 0.6 % off at a hundredth of that,
    and 5 % at a tenth.

    Args:
        network: new.
        trained_on: its labels, and their scale.
        source: the trained member.

    Raises:
        ConfigError: the member is another kind of network.
    """
    if type(source.network) is not type(network):
        kinds = [type(one).__name__.lower() for one in (source.network, network)]
        raise ConfigError(f"holds a {kinds[0]}, and network.kind is {kinds[1]} here: set network.kind={kinds[0]}")
    theirs = dict(source.network.named_modules())
    found = []
    for name, module in network.named_modules():
        own = _tensors(module)
        if own and name != _VIEW and not name.startswith(f"{_HEAD}."):
            there = _tensors(theirs[name]) if name in theirs else {}
            anew = _misfit(own, there)
            if anew is None:
                for key, value in own.items():
                    value.copy_(there[key])
            found.append(Layer(name, anew=anew))
    return [*found, *_inherit_head(network, trained_on, source)]


def _inherit_head(network: nn.Module, trained_on: TrainedOn, source: Member) -> list[Layer]:
    head, other = network.get_submodule(_HEAD), source.network.get_submodule(_HEAD)
    known = source.trained_on
    rows, there = (_rows(one, len(on.label_names)) for one, on in ((head, trained_on), (other, known)))
    layers = []
    for place, label in enumerate(trained_on.label_names):
        anew = None
        if type(head) is not type(other):
            anew = "it predicts another kind of distribution"
        elif label not in known.label_names:
            anew = "the member does not know this label"
        elif rows[0].shape[2:] != there[0].shape[2:]:
            anew = f"{_shape(rows[0][:, place])} here, {_shape(there[0][:, 0])} there"
        else:
            at = known.label_names.index(label)
            ratio = known.label_std[at] / trained_on.label_std[place]
            shift = (known.label_mean[at] - trained_on.label_mean[place]) / trained_on.label_std[place]
            for mine, theirs in zip(rows, there, strict=True):
                mine[:, place] = theirs[:, at]
                mine[0, place] *= ratio
            rows[1][0, place] += shift
            # A variance is exp(x) for x << 0 (softplus), which is where networks that have learned are.
            rows[1][1, place] += 2.0 * math.log(ratio)
        layers.append(Layer(f"{_HEAD}.linear", label, anew))
    return layers


def _rows(head: nn.Module, labels: int) -> tuple[Tensor, Tensor]:
    """Return views of a head's weights [parts, labels, components, features] and biases [parts, labels, components].

    The parts are means, variances before the softplus, and the shares of a mixture.
    """
    linear = head.get_submodule("linear")
    parts = 3 if isinstance(head, MixtureHead) else 2
    weight, bias = linear.get_parameter("weight"), linear.get_parameter("bias")
    return weight.view(parts, labels, -1, weight.shape[1]), bias.view(parts, labels, -1)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights and statistics that belong to a module itself."""
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _misfit(here: dict[str, Tensor], there: dict[str, Tensor]) -> str | None:
    """Return why one layer cannot stand in for another, None if it can."""
    if here.keys() != there.keys():
        return "the member has no such layer" if not there else "the member's is another kind of layer"
    for name, value in here.items():
        if value.shape != there[name].shape:
            return f"{name} {_shape(value)} here, {_shape(there[name])} there"
    return None


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(length) for length in tensor.shape)
