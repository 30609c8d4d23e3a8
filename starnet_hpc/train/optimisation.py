"""Optimisers, and learning rates as functions of the step so that an interrupted run goes on where it stopped."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from starnet_hpc.config import TrainConfig

_WARM_UP = 0.3
_START_FRACTION = 1.0 / 25.0
_END_FRACTION = 1e-4


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of all weights that are not frozen; `fused` takes one pass over them, on CPUs and GPUs."""
    learning = [p for p in network.parameters() if p.requires_grad]
    if config.optimizer == "adam":
        return torch.optim.Adam(learning, lr=config.learning_rate, fused=True)
    # Weight decay is for weights: biases and normalisation scales (one dimension) are left alone.
    decay = [p for p in learning if p.ndim > 1]
    plain = [p for p in learning if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def learning_rate(config: TrainConfig, step: int, steps: int, factor: float = 1.0) -> float:
    """Return the learning rate of a step.

    Args:
        config: section `train`.
        step: counted from 0 over all epochs.
        steps: of an epoch.
        factor: what flat epochs have left of the learning rate (schedule `plateau`).
    """
    peak, total = config.learning_rate, config.epochs * steps
    if config.schedule == "onecycle":
        return one_cycle(step, total, peak)
    if config.schedule == "cosine":
        return warm_cosine(step, total, round(config.warmup_epochs * steps), peak)
    return peak * factor if config.schedule == "plateau" else peak


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step: cosine up to the peak in the first 30 %, cosine down to 1e-4 of it."""
    progress = step / max(steps - 1, 1)
    if progress < _WARM_UP:
        return _cosine(peak * _START_FRACTION, peak, progress / _WARM_UP)
    return _cosine(peak, peak * _END_FRACTION, (progress - _WARM_UP) / (1.0 - _WARM_UP))


def warm_cosine(step: int, steps: int, warm_up: int, peak: float) -> float:
    """Return the learning rate of a step: straight up to the peak in `warm_up` steps, cosine down to 1e-4 of it."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return _cosine(peak, peak * _END_FRACTION, (step - warm_up) / max(steps - 1 - warm_up, 1))


@dataclass
class Plateau:
    """Count flat epochs: after some the learning rate is halved, after more training ends (as in the public code)."""

    patience: int
    stop_patience: int | None
    best: float = math.inf
    flat_since_halving: int = 0
    flat: int = 0
    factor: float = 1.0

    def observe(self, loss: float) -> None:
        """Take note of an epoch's validation loss."""
        if loss < self.best:
            self.best, self.flat, self.flat_since_halving = loss, 0, 0
            return
        self.flat += 1
        self.flat_since_halving += 1
        if self.flat_since_halving >= self.patience:
            self.factor *= 0.5
            self.flat_since_halving = 0

    @property
    def exhausted(self) -> bool:
        """Whether training should end."""
        return self.stop_patience is not None and self.flat >= self.stop_patience


def _cosine(start: float, end: float, progress: float) -> float:
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * min(progress, 1.0)))
