"""The running average of the weights."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from starnet_hpc.networks import load_member, negative_log_likelihood
from starnet_hpc.stores import open_store
from starnet_hpc.train import train
from starnet_hpc.train.average import Average
from tests import support
from tests.train.test_stage import history, stopped_at


def test_an_average_is_the_sum_of_all_weights_that_fade_with_time() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = Average(network, decay=0.5)
    drawn = np.random.default_rng(1).normal(size=(20, 14)).astype(np.float32)
    names = [name for name, value in network.state_dict().items() if value.is_floating_point()]
    start = torch.cat([network.state_dict()[name].flatten() for name in names]).numpy()
    for step, values in enumerate(drawn):
        state, rest = network.state_dict(), torch.from_numpy(values.copy())
        for name in names:
            part, rest = rest[: state[name].numel()], rest[state[name].numel() :]
            state[name].copy_(part.reshape(state[name].shape))
        state["1.num_batches_tracked"].add_(1)
        average.follow(step)
    found = average.network.state_dict()
    decays = np.minimum(0.5, (1 + np.arange(20)) / (10 + np.arange(20)))
    fades = np.append(np.cumprod(decays[::-1])[::-1], 1.0)  # what is left of the start, and of each step's share
    expected = fades[0] * start + ((1 - decays) * fades[1:]) @ drawn
    np.testing.assert_allclose(
        np.concatenate([found[name].flatten() for name in names]), expected, rtol=1e-5, atol=1e-6
    )
    assert found["1.num_batches_tracked"] == 20


def test_the_averaged_weights_are_those_that_are_validated_and_kept(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": 4, "ema": 0.9})
    path = train(config)
    best = min(row["valid_loss"] for row in history(config))
    store, member = open_store(config.store("valid"), made_by="augment"), load_member(path)
    with torch.inference_mode():
        labels = torch.from_numpy(member.trained_on.scale.standardised(store.column("labels")))
        loss = negative_log_likelihood(member.network(torch.from_numpy(store.read(0, 48)).float()), labels).item()
    assert loss == pytest.approx(best, abs=2e-6)  # the history has six decimals
    last = torch.load(config.member_dir(0) / "last.pt", weights_only=True)
    kept = torch.load(path, weights_only=True)["weights"]
    assert all(torch.equal(kept[name], value) for name, value in last["average"].items())
    assert not all(torch.equal(kept[name], value) for name, value in last["network"].items())


def test_an_average_is_steadier_than_what_it_averages(tmp_path: Path) -> None:
    # A learning rate that stays high leaves weights that jump about; the steps are the same in both trainings.
    losses = []
    for name, ema in (("without", None), ("with", 0.95)):
        changes = {"epochs": 20, "schedule": "constant", "learning_rate": 1e-2, "ema": ema}
        config = support.ready_to_train(tmp_path / name, rows=256, train=changes)
        train(config)
        losses.append([(row["train_loss"], row["valid_loss"]) for row in history(config)])
    (steps, alone), (same_steps, averaged) = (zip(*rows, strict=True) for rows in losses)
    assert steps == same_steps
    assert np.mean(averaged[10:]) < np.mean(alone[10:]) - 0.1
    assert np.std(averaged[10:]) < np.std(alone[10:])


def test_averaged_training_that_was_interrupted_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, stopped = (support.ready_to_train(tmp_path / name, train={"ema": 0.9}) for name in ("whole", "stopped"))
    train(whole)
    stopped_at(stopped, 11, signal.SIGUSR2)
    assert support.same_weights(train(stopped), whole.member_dir(0) / "best.pt")
    states = [torch.load(config.member_dir(0) / "last.pt", weights_only=True) for config in (whole, stopped)]
    for part in ("network", "average"):
        assert all(torch.equal(states[0][part][name], value) for name, value in states[1][part].items())
