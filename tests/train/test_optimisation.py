"""Learning rates, and when to stop."""

import math
from itertools import pairwise

import pytest
import torch

from starnet_hpc.config import TrainConfig
from starnet_hpc.train.optimisation import Plateau, make_optimizer, one_cycle


def test_one_cycle_warms_up_for_three_tenths_and_ends_at_nearly_nothing() -> None:
    rates = [one_cycle(step, 1001, 2e-3) for step in range(1001)]
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert max(rates) == rates[300] == pytest.approx(2e-3)
    assert rates[-1] == pytest.approx(2e-7)
    assert all(a < b for a, b in pairwise(rates[:301]))
    assert all(a > b for a, b in pairwise(rates[300:]))


def test_a_single_step_has_a_learning_rate() -> None:
    assert one_cycle(0, 1, 1e-3) > 0


def test_a_plateau_halves_the_rate_after_flat_epochs_and_stops_after_many() -> None:
    plateau = Plateau(patience=3, stop_patience=12)
    factors = []
    for loss in [1.0, 0.9, *[0.95] * 11]:
        plateau.observe(loss)
        factors.append(plateau.factor)
    assert factors == [1.0] * 4 + [0.5] * 3 + [0.25] * 3 + [0.125] * 3
    assert not plateau.exhausted
    plateau.observe(0.9)  # as good as the best is not better
    assert plateau.exhausted


def test_a_better_epoch_starts_the_counting_anew_but_keeps_the_rate() -> None:
    plateau = Plateau(patience=2, stop_patience=4)
    for loss in [1.0, 1.1, 1.1, 0.5, 0.6]:
        plateau.observe(loss)
    assert (plateau.factor, plateau.flat, plateau.best) == (0.5, 1, 0.5)


def test_weight_decay_is_for_weights_only() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    groups = make_optimizer(network, TrainConfig(weight_decay=0.3)).param_groups
    assert {len(p.shape): group["weight_decay"] for group in groups for p in group["params"]} == {2: 0.3, 1: 0.0}


def test_adam_has_no_weight_decay() -> None:
    optimizer = make_optimizer(torch.nn.Linear(3, 2), TrainConfig(optimizer="adam", weight_decay=0.3))
    assert math.isclose(sum(group["weight_decay"] for group in optimizer.param_groups), 0.0)
