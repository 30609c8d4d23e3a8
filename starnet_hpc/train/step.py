"""One step of the training, which on a GPU waits for nothing, and the look at those that were taken."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from starnet_hpc.config import TrainConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.networks import negative_log_likelihood
from starnet_hpc.train.average import Average
from starnet_hpc.train.clock import Clock
from starnet_hpc.train.data import Batch
from starnet_hpc.train.finetune import keep_still
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.optimisation import make_optimizer
from starnet_hpc.train.ranks import Ranks

_LOOK_EVERY = {"cuda": 16}
"""Steps after which a device is asked what came out. A GPU that was asked idles until it hears of the next step; a CPU
answers for nothing."""
_REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_MOST_LEFT_OUT = 25
"""Steps one after the other that may be left out: each halves the scale, which begins at 65,536 and ends at 0.002."""


@dataclass(frozen=True)
class Taken:
    """What came out of a step."""

    loss: float
    """Mean over the spectra of all processes."""
    norm: float | None
    """Of the gradient that all processes share, before clipping; None if it overflowed, and the step was left out."""
    fault: str | None
    """Why training cannot go on, None if it can."""


class Stepper:
    """A network and all that changes it, on one rank."""

    def __init__(self, network: nn.Module, config: TrainConfig, ranks: Ranks, mask: PixelMask, clock: Clock) -> None:
        """Set up for a network on the ranks' device."""
        self.network = network
        self.optimizer = make_optimizer(network, config)
        self.look_every = _LOOK_EVERY.get(ranks.device.type, 1)
        self._model = network
        self._config, self._ranks, self._mask, self._clock = config, ranks, mask, clock
        # float16 ends at 6e-8: the loss is scaled up so that small gradients stay above, and down where large ones
        # overflow; a step whose gradient did is left out.
        self._scaler = torch.amp.GradScaler(ranks.device.type, enabled=config.precision == "float16")
        self._left_out = 0
        self._unseen: list[Tensor] = []
        self._average = Average(network, config.ema) if config.ema is not None else None

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def outcome(self) -> nn.Module:
        """The network that is validated and kept: the averaged one if there is an average."""
        return self._average.network if self._average else self.network

    def span_ranks(self, pixels: int) -> None:
        """Take steps together with the other processes; all of them must come here."""
        self._model = self._ranks.parallel(self.network, pixels)

    def states(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of this; plain values and tensors."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": self._average.network.state_dict() if self._average else {},
        }

    def restore(self, states: dict[str, Any]) -> None:
        """Go on from what `states` returned."""
        self.network.load_state_dict(states["network"])
        self.optimizer.load_state_dict(states["optimizer"])
        self._scaler.load_state_dict(states["scaler"])
        if self._average:
            self._average.network.load_state_dict(states["average"])

    def begin(self) -> None:
        """Get ready for the steps of an epoch, after a validation."""
        self._model.train()
        keep_still(self.network)

    def take(self, batch: Batch, step: int, rate: float, epoch: int) -> None:
        """Take a step; what came out is told by `look`, and nothing may be saved before.

        A gradient that is no number has spoilt the weights by then, and with its error all that was not saved is lost.

        Args:
            batch: spectra of this rank.
            step: counted from 0 over all epochs.
            rate: learning rate.
            epoch: keys the random masks.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        flux = self._mask.train(batch.flux.float(), batch.rows, epoch)
        self._clock.lap("data")
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(flux, batch.labels)
        self._clock.lap("forward")
        torch.autograd.backward(self._scaler.scale(loss))
        self._clock.lap("backward")
        self._scaler.unscale_(self.optimizer)
        norm = self._clip()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._average:
            self._average.follow(step)
        self._unseen.append(torch.stack([loss.detach(), norm]))
        self._clock.lap("optimiser")

    def look(self) -> list[Taken]:
        """Return what came out of the steps since the last look; all ranks look after the same steps."""
        if not self._unseen:
            return []
        # [processes, steps, 2]. Losses are brought together one by one and added up in a fixed order, so that their sum
        # does not depend on when one looks.
        everyone = self._ranks.gather(torch.stack(self._unseen)).double()
        self._unseen.clear()
        return [self._judged(loss, norm) for loss, norm in everyone.mean(dim=0).tolist()]

    def _judged(self, loss: float, norm: float) -> Taken:
        if math.isfinite(loss) and math.isfinite(norm):
            self._left_out = 0
            return Taken(loss, norm, None)
        if not (math.isfinite(loss) and self._scaler.is_enabled()):
            return Taken(loss, norm, f"the loss is {loss:g} and the gradient's norm {norm:g}")
        self._left_out += 1
        endless = f"{self._left_out} gradients one after the other overflowed float16, however small the loss was made"
        return Taken(loss, None, endless if self._left_out > _MOST_LEFT_OUT else None)

    def _loss(self, flux: Tensor, labels: Tensor) -> Tensor:
        reduced = _REDUCED.get(self._config.precision)
        with torch.autocast(flux.device.type, reduced, enabled=reduced is not None):
            prediction = self._model(flux)
        return negative_log_likelihood(prediction, labels, self._config.beta_nll)

    def _clip(self) -> Tensor:
        """Return the norm of the gradient that all ranks share, and shorten what is longer than it may be."""
        largest = self._config.clip_gradient if self._config.clip_gradient is not None else math.inf
        return torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest)


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse arithmetic that a device is not made for.

    Raises:
        ConfigError: float16 without a GPU.
    """
    if precision == "float16" and device.type != "cuda":
        raise ConfigError(
            "train.precision: float16 is for GPUs, and there is none here; bfloat16 works on CPUs, too, and float32 is "
            "faster on most of them"
        )
