"""Learning rates, and when to stop."""

import math
from itertools import pairwise

import pytest
import torch

from starnet_hpc.config import TrainConfig
from starnet_hpc.train.optimisation import Plateau, learning_rate, make_optimizer, one_cycle, warm_cosine


def test_one_cycle_warms_up_for_three_tenths_and_ends_at_nearly_nothing() -> None:
    rates = [one_cycle(step, 1001, 2e-3) for step in range(1001)]
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert max(rates) == rates[300] == pytest.approx(2e-3)
    assert rates[-1] == pytest.approx(2e-7)
    assert all(a < b for a, b in pairwise(rates[:301]))
    assert all(a > b for a, b in pairwise(rates[300:]))


def test_a_single_step_has_a_learning_rate() -> None:
    assert one_cycle(0, 1, 1e-3) > 0


def test_a_cosine_warms_up_along_a_straight_line_and_ends_at_nearly_nothing() -> None:
    rates = [warm_cosine(step, 1101, 100, 2e-3) for step in range(1101)]
    assert rates[:100] == pytest.approx([2e-5 * (step + 1) for step in range(100)])
    assert max(rates) == rates[99] == rates[100] == 2e-3
    assert all(a > b for a, b in pairwise(rates[100:]))
    assert rates[600] == pytest.approx(1e-3, rel=1e-3)  # half way down
    assert rates[-1] == pytest.approx(2e-7)


@pytest.mark.parametrize("warm_up", [0, 1, 3, 4])
def test_a_cosine_of_few_steps_has_a_learning_rate_for_each(warm_up: int) -> None:
    assert all(0 < warm_cosine(step, 4, warm_up, 1.0) <= 1 for step in range(4))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("onecycle", [one_cycle(step, 30, 0.01) for step in range(30)]),
        ("cosine", [warm_cosine(step, 30, 15, 0.01) for step in range(30)]),
        ("plateau", [0.005] * 30),
        ("constant", [0.01] * 30),
    ],
)
def test_a_schedule_is_a_function_of_the_step(schedule: str, expected: list[float]) -> None:
    config = TrainConfig(schedule=schedule, epochs=3, learning_rate=0.01, warmup_epochs=1.5)
    assert [learning_rate(config, step, 10, factor=0.5) for step in range(30)] == expected


def test_a_warm_up_that_leaves_no_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup_epochs 3 leaves nothing of epochs 3"):
        TrainConfig(schedule="cosine", epochs=3, warmup_epochs=3)
    TrainConfig(epochs=1)  # other schedules do not look at it


def test_without_a_patience_training_never_ends_early() -> None:
    plateau = Plateau(patience=3, stop_patience=None)
    for loss in [1.0, *[2.0] * 1000]:
        plateau.observe(loss)
    assert not plateau.exhausted


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
