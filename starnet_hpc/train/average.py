"""The running average of a network's weights: steadier than each of the networks that it averages."""

import copy
from collections.abc import Iterator
from itertools import chain

import torch
from torch import nn


class Average:
    """A copy of a network whose weights w follow those of the original: w <- decay w + (1 - decay) w_original.

    Statistics of normalisations are averaged alike. They are running means themselves, over some ten batches, so that
    this only lengthens them; docs/training.md says what it would change to measure them anew with the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin at the weights that the network has now; it does not span processes yet."""
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay
        pairs = [(own, other.detach()) for own, other in zip(_tensors(self.network), _tensors(network), strict=True)]
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    def follow(self, step: int) -> None:
        """Take in the weights that the network has after a step, counted from 0 over all epochs."""
        # The first steps reach back over a part of the way only: where the network began is no part of an average.
        share = 1.0 - min(self._decay, (1.0 + step) / (10.0 + step))
        own, other = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(own, other, share)
        for counter, current in self._copied:
            counter.copy_(current)


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    return chain(network.parameters(), network.buffers())
