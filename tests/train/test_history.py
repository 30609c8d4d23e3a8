"""`history.csv`: its numbers with time turned by hand, and after interruptions."""

import csv
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import InterruptedRunError
from starnet_hpc.networks import negative_log_likelihood
from starnet_hpc.train import history, loop, train
from starnet_hpc.train import step as steps
from starnet_hpc.train.clock import PHASES, Clock
from starnet_hpc.train.history import COLUMNS, Usage, usage_columns, write_history
from starnet_hpc.train.masks import PixelMask
from tests import support
from tests.train.test_clock import Device
from tests.train.test_stage import hit_at

EPOCHS, STEPS, BATCH, VALID_BATCHES = 3, 8, 16, 3
SECONDS = {"data": 1.0, "forward": 2.0, "backward": 3.0, "optimiser": 4.0}
VALIDATION = 5.0


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS})


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Device:
    """Every part of a step takes the time that is said above, and nothing else takes any."""
    device = Device(lag=0.0)
    mask, step = PixelMask.train, torch.optim.AdamW.step

    def takes(seconds: float) -> None:
        device.now += seconds

    def masked(self: PixelMask, *arguments: Any) -> torch.Tensor:
        takes(SECONDS["data"])
        return mask(self, *arguments)

    def loss(*arguments: Any) -> torch.Tensor:
        found: torch.Tensor = negative_log_likelihood(*arguments)
        takes(SECONDS["forward"] if found.requires_grad else VALIDATION)
        if found.requires_grad:
            found.register_hook(lambda _: takes(SECONDS["backward"]))
        return found

    def stepped(self: torch.optim.AdamW, *arguments: Any) -> Any:
        takes(SECONDS["optimiser"])
        return step(self, *arguments)

    monkeypatch.setattr(PixelMask, "train", masked)
    monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
    for room in (steps, loop):
        monkeypatch.setattr(room, "negative_log_likelihood", loss)
    monkeypatch.setattr(loop, "clock_of", lambda _: Clock(device.mark))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: device.now))
    return device


def lines(config: ExperimentConfig) -> list[dict[str, float]]:
    with (config.member_dir(0) / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def check_times(rows: list[dict[str, float]]) -> None:
    step = sum(SECONDS.values())
    for row in rows:
        assert row["seconds"] == pytest.approx(STEPS * step)
        assert row["valid_seconds"] == pytest.approx(VALID_BATCHES * VALIDATION)
        assert row["spectra_per_s"] == pytest.approx(BATCH / step)
        for phase in PHASES:
            assert row[f"{phase}_share"] == pytest.approx(SECONDS[phase] / step)
        assert row["other_share"] == 0


@pytest.mark.usefixtures("by_hand")
def test_an_epoch_tells_what_its_time_went_into(config: ExperimentConfig) -> None:
    train(config)
    rows = lines(config)
    check_times(rows)
    assert [row["restarts"] for row in rows] == [0] * EPOCHS
    assert all(row["gradient_norm"] > 0 and row["host_gb"] > 0.1 and row["gpu_gb"] == 0 for row in rows)


@pytest.mark.parametrize("place", [3, STEPS - 1, STEPS + 4])
def test_numbers_of_an_epoch_that_was_interrupted_are_those_of_one_that_was_not(
    config: ExperimentConfig, tmp_path: Path, by_hand: Device, place: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        hit_at(patch, place, signal.SIGUSR2)
        with pytest.raises(InterruptedRunError):
            train(config)
    by_hand.now += 1e6  # in the queue
    train(config)
    rows = lines(config)
    check_times(rows)
    assert [row["restarts"] for row in rows] == [int(epoch >= place // STEPS) for epoch in range(EPOCHS)]
    undisturbed = support.ready_to_train(tmp_path / "other", train={"epochs": EPOCHS})
    train(undisturbed)
    for row, other in zip(rows, lines(undisturbed), strict=True):
        del row["restarts"], other["restarts"], row["host_gb"], other["host_gb"]
        assert row == other


def test_the_gradient_norm_is_the_median_of_the_epochs_steps(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def clipped(*arguments: Any) -> torch.Tensor:
        norm = clip(*arguments)
        norms.append(norm.item())
        return norm

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clipped)
    train(config)
    for epoch, row in enumerate(lines(config)):
        inside = sorted(norms[epoch * STEPS : (epoch + 1) * STEPS])
        assert row["gradient_norm"] == pytest.approx((inside[3] + inside[4]) / 2, rel=1e-5)  # six digits


def test_shares_are_means_over_processes_and_memory_is_that_of_the_largest() -> None:
    one = Usage(10.0, {"data": 1, "forward": 2, "backward": 3, "optimiser": 4}, 1.0, 5.0)
    two = Usage(20.0, {"data": 10, "forward": 2, "backward": 2, "optimiser": 2}, 2.0, 4.0)
    found = usage_columns([one, two])
    assert found["data_share"] == pytest.approx((0.1 + 0.5) / 2)
    assert found["other_share"] == pytest.approx((0.0 + 0.2) / 2)
    assert sum(value for name, value in found.items() if name.endswith("_share")) == pytest.approx(1)
    assert (found["host_gb"], found["gpu_gb"]) == (2.0, 5.0)


def test_a_gpus_clock_that_is_a_little_fast_makes_no_negative_share() -> None:
    assert usage_columns([Usage(9.99, {"data": 10.0}, 1, 1)])["other_share"] == 0


def test_epochs_of_an_earlier_version_keep_their_lines(tmp_path: Path) -> None:
    old = {"epoch": 1, "train_loss": -1, "valid_loss": -1, "learning_rate": 1e-3, "seconds": 9, "spectra_per_s": 7}
    write_history(tmp_path / "history.csv", [old, dict.fromkeys(COLUMNS, 2)])
    with (tmp_path / "history.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["seconds"], first["data_share"], second["data_share"]) == ("9", "nan", "2")


def test_the_documentation_explains_every_column() -> None:
    text = (support.REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in history.COLUMNS if f"`{name}`" not in text] == []
