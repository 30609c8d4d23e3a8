"""Scalars for TensorBoard, read back by TensorBoard's own reader."""

import csv
import signal
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.train import train
from starnet_hpc.train.board import FOLDER, board
from tests import support
from tests.train.test_stage import STEPS, stopped_at

EPOCHS = 3


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "tensorboard": True})


def shown(folder: Path) -> dict[str, dict[int, float]]:
    read = EventAccumulator(str(folder)).Reload()
    return {tag: {event.step: event.value for event in read.Scalars(tag)} for tag in read.Tags()["scalars"]}


def test_tensorboard_shows_the_history_also_of_a_training_that_was_interrupted(config: ExperimentConfig) -> None:
    stopped_at(config, STEPS + 3, signal.SIGUSR2)
    train(config)
    found = shown(config.member_dir(0) / FOLDER)
    with (config.member_dir(0) / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(found) == len(rows[0]) - 1
    for tag, column in {
        "loss/train": "train_loss",
        "loss/valid": "valid_loss",
        "share of time/data": "data_share",
        "memory [GB]/host": "host_gb",
        "training/learning_rate": "learning_rate",
    }.items():
        expected = {int(row["epoch"]): float(row[column]) for row in rows}
        assert found[tag] == pytest.approx(expected, rel=1e-6)  # float32


def test_an_epoch_that_was_lost_before_its_checkpoint_is_shown_as_it_came_out_at_last(tmp_path: Path) -> None:
    for done, losses in ((0, (5.0, 4.0)), (1, (3.0, 2.0))):
        with board(tmp_path, done, wanted=True) as show:
            for epoch, loss in enumerate(losses, start=done + 1):
                show({"epoch": epoch, "valid_loss": loss})
    assert shown(tmp_path)["loss/valid"] == {1: 5.0, 2: 3.0, 3: 2.0}


def test_what_is_shown_changes_neither_weights_nor_recipe(config: ExperimentConfig) -> None:
    best = train(config)
    without = config.model_copy(update={"train": config.train.model_copy(update={"tensorboard": False})})
    before = best.stat().st_mtime_ns
    assert train(without) == best, "another recipe"
    assert best.stat().st_mtime_ns == before
    other = support.ready_to_train(config.run_dir.parent / "other" / "run", train={"epochs": EPOCHS})
    assert support.same_weights(train(other), best)
    assert not (other.member_dir(0) / FOLDER).exists()


@pytest.mark.parametrize("command", ["train", "ensemble"])
def test_a_missing_package_is_one_message_before_anything_starts(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    assert main([command, str(config.run_dir / "config.yaml")]) == 2
    told = capsys.readouterr().err.strip()
    assert "pip install 'starnet-hpc[tensorboard]'" in told
    assert len(told.splitlines()) == 1
    assert not config.member_dir(0).exists()
