"""The training of one member, epoch by epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from starnet_hpc.config import TrainConfig
from starnet_hpc.errors import StarnetError, TrainingError
from starnet_hpc.networks import negative_log_likelihood
from starnet_hpc.train.checkpoint import Progress
from starnet_hpc.train.clock import clock_of, peak_memory
from starnet_hpc.train.data import Batch, RankData
from starnet_hpc.train.history import Usage, median_norm, usage_columns
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.optimisation import Plateau, learning_rate
from starnet_hpc.train.ranks import Ranks
from starnet_hpc.train.step import Stepper


@dataclass(frozen=True)
class Events:
    """What the loop tells the outside."""

    stop: Callable[[], bool]
    """Asked after each step: should this process leave?"""
    checkpoint: Callable[[], None]
    """Save the state now; called on every rank at the same step."""
    improved: Callable[[], None]
    """The validation loss is the best so far."""
    epoch_done: Callable[[dict[str, float]], None]
    """A line of the history."""


class Trainer:
    """A network, its optimiser and its data, on one rank."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        ranks: Ranks,
        data: tuple[RankData, RankData],
        mask: PixelMask,
        *,
        seed: int,
        member: int,
        steps: int,
    ) -> None:
        """Set up.

        Args:
            network: on the ranks' device.
            config: section `train`.
            ranks: the processes that train together.
            data: this rank's training and validation rows.
            mask: augmentations vii and viii.
            seed: of the experiment.
            member: number of the member.
            steps: of an epoch, the same on every rank.
        """
        self.progress = Progress()
        self._config, self._ranks, self._mask = config, ranks, mask
        self._train, self._valid = data
        self._seed, self._member, self._steps = seed, member, steps
        self._plateau = Plateau(config.plateau_patience, config.stop_patience)
        self._local_batch = config.batch_size // ranks.world
        self._clock = clock_of(ranks.device)
        self._stepper = Stepper(network, config, ranks, mask, self._clock)

    @property
    def outcome(self) -> nn.Module:
        """The network that is validated, and kept where it is the best so far."""
        return self._stepper.outcome

    def span_ranks(self) -> None:
        """Train together with the other processes; all of them must come here."""
        self._stepper.span_ranks(self._train.pixels)

    def states(self) -> dict[str, Any]:
        """Return what a checkpoint must hold beside the progress; every step has been looked at."""
        return self._stepper.states()

    def restore(self, progress: Progress, states: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.progress = progress
        self._stepper.restore(states)
        if progress.plateau:
            self._plateau = Plateau(**progress.plateau)

    def run(self, events: Events) -> bool:
        """Train until the last epoch; return False if a stop was asked for (the state is then saved)."""
        while not self.progress.finished:
            if not (self._epoch(events) and self._finish_epoch(events)):
                return False
        return True

    def _epoch(self, events: Events) -> bool:
        now = self.progress
        started = last_save = time.monotonic()
        before = now.seconds
        self._stepper.begin()
        self._clock.restart(now.phases)
        batches = self._train.epoch(
            self._seed, self._member, now.epoch, self._local_batch, self._steps, now.step, events.stop
        )
        with closing(batches):
            while True:
                batch, problem = self._next(batches)
                self._clock.lap("data")
                due = time.monotonic() - last_save > 60 * self._config.checkpoint_minutes
                # Between two steps, when every rank has its next batch or knows that there is none. Clocks differ, so
                # the decision to save, like the one to leave, is taken together.
                leaving, saving = self._decide(events.stop(), due, problem)
                if leaving or saving or batch is None:
                    self._look()
                    now.seconds = before + time.monotonic() - started
                    now.phases = self._clock.read()
                if leaving or saving:
                    events.checkpoint()
                    last_save = time.monotonic()
                if leaving:
                    return False
                if batch is None:
                    return True
                self._clock.lap(None)
                self._take(batch)
                now.step += 1
                if now.step % self._stepper.look_every == 0:
                    self._look()
                now.seconds = before + time.monotonic() - started

    def _next(self, batches: Iterator[Batch]) -> tuple[Batch | None, StarnetError | None]:
        """Return the next batch, None after the last one; or what is wrong with it."""
        try:
            return next(batches, None), None
        except StarnetError as error:
            return None, error

    def _take(self, batch: Batch) -> None:
        now = self.progress
        step = now.epoch * self._steps + now.step
        rate = learning_rate(self._config, step, self._steps, self._plateau.factor)
        self._stepper.take(batch, step, rate, now.epoch)

    def _look(self) -> None:
        """Take note of what came out of the steps since the last look.

        Raises:
            TrainingError: something is no number; nothing of these steps has been saved then.
        """
        now = self.progress
        taken = self._stepper.look()
        for step, found in enumerate(taken, now.step - len(taken) + 1):
            if found.fault is not None:
                raise self._diverged(found.fault, f"step {step}")
            now.loss_sum += found.loss
            if found.norm is not None:
                now.norms.append(found.norm)

    def _finish_epoch(self, events: Events) -> bool:
        now = self.progress
        train_loss = now.loss_sum / max(now.step, 1)
        started = time.monotonic()
        valid_loss = self._validate(events.stop)
        valid_seconds = time.monotonic() - started
        if valid_loss is None:
            events.checkpoint()
            return False
        if not math.isfinite(valid_loss):
            raise self._diverged(f"the validation loss is {valid_loss:g}", "its end")
        self._plateau.observe(valid_loss)
        row = {
            "epoch": now.epoch + 1,
            "train_loss": round(train_loss, 6),
            "valid_loss": round(valid_loss, 6),
            "learning_rate": float(f"{self._stepper.rate:.6g}"),
            "gradient_norm": median_norm(now.norms),
            "seconds": round(now.seconds, 2),
            "valid_seconds": round(valid_seconds, 2),
            "spectra_per_s": round(now.step * self._config.batch_size / max(now.seconds, 1e-9), 1),
            **self._usage(),
            "restarts": now.restarts,
        }
        now.history.append(row)
        now.epoch, now.step, now.loss_sum, now.seconds = now.epoch + 1, 0, 0.0, 0.0
        now.phases, now.norms = {}, []
        if valid_loss < now.best_loss:
            now.best_loss = valid_loss
            events.improved()
        now.finished = now.epoch >= self._config.epochs or self._plateau.exhausted
        now.plateau = asdict(self._plateau)
        events.epoch_done(row)
        events.checkpoint()
        return True

    def _usage(self) -> dict[str, float]:
        """Return the history's columns of time and memory; every process takes part."""
        now = self.progress
        return usage_columns(self._ranks.everyone(Usage(now.seconds, now.phases, *peak_memory(self._ranks.device))))

    def _diverged(self, what: str, when: str) -> TrainingError:
        other = ", or choose train.precision bfloat16," if self._config.precision == "float16" else ""
        return self._ranks.tell_once(
            TrainingError(
                f"member {self._member}: {what} in epoch {self.progress.epoch + 1} at {when}; lower "
                f"train.learning_rate or train.clip_gradient{other} and train again (the last good state is kept)"
            )
        )

    @torch.no_grad()
    def _validate(self, stop: Callable[[], bool]) -> float | None:
        """Return the mean loss (eq. 1, whatever is trained with) of all validation rows; nothing in it is random.

        None says that some process was asked to stop while it waited for the disk.
        """
        network = self.outcome.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self._ranks.device)
        rows = 0
        with closing(self._valid.in_order(self._local_batch, stop)) as batches:
            while True:
                batch, problem = self._next(batches)
                if batch is None:
                    break
                count = batch.labels.shape[0]
                prediction = network(self._mask.always(batch.flux.float()))
                loss += negative_log_likelihood(prediction, batch.labels).double() * count
                rows += count
        leaving, _ = self._decide(rows < self._valid.rows.size, False, problem)
        if leaving:
            return None
        total, everyones = self._ranks.sum(torch.stack([loss, torch.full_like(loss, rows)])).tolist()
        return float(total / everyones)

    def _decide(self, leaving: bool, saving: bool, problem: StarnetError | None) -> tuple[bool, bool]:
        """Return whether any rank wants to leave, and to save; raise on every rank what is wrong on one of them."""
        if self._ranks.world > 1:
            wishes = [float(leaving), float(saving), float(problem is not None)]
            votes = self._ranks.sum(torch.tensor(wishes)).tolist()  # not by way of a GPU, which is busy
            leaving, saving = votes[0] > 0, votes[1] > 0
            if votes[2] > 0:
                self._ranks.agree(lambda: _raise(problem))
        elif problem is not None:
            raise problem
        return leaving, saving


def _raise(problem: StarnetError | None) -> None:
    if problem is not None:
        raise problem
