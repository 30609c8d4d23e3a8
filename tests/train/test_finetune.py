"""Fine-tuning: how a member begins with another one's weights, and what stays of them."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, MissingInputError, StoreMismatchError
from starnet_hpc.train import is_trained, train
from starnet_hpc.train.finetune import RECORD
from tests import support
from tests.train.test_stage import EPOCHS, OFTEN, STEPS, files, history, stopped_at

CHANNELS = {"channels": [8, 8], "dense": 16}
WIDE = {
    "name": "wide",
    "arms": [{"start": 5149.0, "step": 0.03, "count": support.PIXELS + 64}],
    "resolution": 20_000,
}
"""Another instrument: more pixels."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """Another run, which has two members that have learned."""
    config = support.ready_to_train(
        tmp_path_factory.mktemp("source") / "run",
        rows=768,
        train={"epochs": 8, "batch_size": 32, "learning_rate": 1e-2},
        network=CHANNELS,
    )
    train(config, 0)
    train(config, 1)
    return config


def members(of: ExperimentConfig) -> Path:
    return of.member_dir(0).parent


def tuned(run_dir: Path, source: Path | None, **changes: Any) -> ExperimentConfig:
    """Return an experiment that is ready to be fine-tuned; `changes` to sections."""
    settings = {"epochs": EPOCHS, **changes.pop("train", {})}
    if source is not None:
        settings["init_from"] = str(source)
    return support.ready_to_train(run_dir, train=settings, network=changes.pop("network", CHANNELS), **changes)


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["weights"]
    return found


# --- what it is good for ----------------------------------------------------------------------------------------------


def test_on_another_instrument_a_trained_member_learns_in_half_the_steps(
    source: ExperimentConfig, tmp_path: Path
) -> None:
    losses = {}
    for name, start in (("scratch", None), ("tuned", members(source))):
        config = tuned(tmp_path / name, start, rows=256, instrument=WIDE, train={"epochs": 6, "learning_rate": 5e-3})
        train(config)
        losses[name] = [row["valid_loss"] for row in history(config)]
    assert min(losses["tuned"][:3]) < min(losses["scratch"])
    assert min(losses["tuned"]) < min(losses["scratch"]) - 0.3


def test_what_became_of_each_layer_is_told(source: ExperimentConfig, tmp_path: Path) -> None:
    config = tuned(tmp_path / "run", members(source), instrument=WIDE, train={"freeze": ["stem.*"], "epochs": 1})
    train(config)
    log = (config.run_dir / "logs" / "train-00.log").read_text()
    assert f"member 0: begins with the weights of {source.member_dir(0) / 'best.pt'}" in log
    assert "stem: taken over and stays\n" in log
    assert "dense.1: begins anew: weight 16 x 160 here, 16 x 128 there" in log
    assert all(f"head.linear ({label}): taken over\n" in log for label in support.LABELS)


def test_each_member_begins_with_the_same_member_of_a_run_and_all_with_the_one_of_a_file(
    source: ExperimentConfig, tmp_path: Path
) -> None:
    for name, start, expected in (("run", members(source), [0, 1]), ("file", source.member_dir(1) / "best.pt", [1, 1])):
        config = tuned(tmp_path / name, start, train={"freeze": ["stem.*"], "epochs": 1})
        for member, number in enumerate(expected):
            stem = weights(train(config, member))["stem.weight"]
            assert torch.equal(stem, weights(source.member_dir(number) / "best.pt")["stem.weight"])


# --- what stays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", [None, 0.9])
def test_frozen_layers_keep_their_bits_and_their_statistics(
    source: ExperimentConfig, tmp_path: Path, ema: float | None
) -> None:
    frozen = ["stem.*", "stages.0.*"]
    config = tuned(tmp_path / "run", members(source), train={"freeze": frozen, "ema": ema})
    after, before = weights(train(config)), weights(source.member_dir(0) / "best.pt")
    kept = {name for name in after if torch.equal(after[name], before[name])}
    still = {name for name in after if name.startswith(("stem.", "stages.0."))}
    assert sum("running" in name for name in still) >= 2
    assert kept - {name for name in kept if name.startswith("view.")} == still


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
@pytest.mark.parametrize("place", [0, STEPS + 4, EPOCHS * STEPS - 1])
def test_fine_tuning_that_was_interrupted_goes_on_to_the_same_weights(
    source: ExperimentConfig, tmp_path: Path, optimizer: str, place: int
) -> None:
    settings = {"freeze": ["stem.*", "squeeze.*"], "optimizer": optimizer, "ema": 0.9}
    whole = train(tuned(tmp_path / "whole", members(source), train=settings))
    config = tuned(tmp_path / "run", members(source), train=settings)
    stopped_at(config, place, signal.SIGUSR2)
    assert support.same_weights(train(config), whole)


def test_training_with_everything_that_was_killed_goes_on_to_the_same_weights(
    source: ExperimentConfig, tmp_path: Path
) -> None:
    settings = {
        "freeze": ["stem.*"],
        "ema": 0.9,
        "precision": "bfloat16",
        "schedule": "cosine",
        "warmup_epochs": 0.5,
        "stop_patience": 2,
        "checkpoint_minutes": OFTEN,
    }
    whole = train(tuned(tmp_path / "whole", members(source), train=settings))
    config = tuned(tmp_path / "run", members(source), train=settings)
    hit = Path(__file__).parent / "hit.py"
    done = support.run(hit, config.run_dir / "config.yaml", str(STEPS + 5), "SIGKILL")
    assert done.returncode == -signal.SIGKILL
    progress = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == (1, 5)
    assert support.same_weights(train(config), whole)


# --- the source is part of the recipe ---------------------------------------------------------------------------------


@pytest.fixture
def copied(source: ExperimentConfig, tmp_path: Path) -> Path:
    """A copy of a member's file, to be changed."""
    return Path(shutil.copy(source.member_dir(0) / "best.pt", tmp_path / "start.pt"))


def test_the_same_weights_at_another_place_are_the_same_recipe_and_others_are_not(
    source: ExperimentConfig, copied: Path, tmp_path: Path
) -> None:
    config = tuned(tmp_path / "run", copied, train={"epochs": 1})
    train(config)
    settings = config.train.model_copy(update={"init_from": source.member_dir(0) / "best.pt"})
    assert is_trained(config.model_copy(update={"train": settings}), 0)
    shutil.copy(source.member_dir(1) / "best.pt", copied)
    before = files(config.member_dir(0))
    with pytest.raises(StoreMismatchError, match="another configuration"):
        train(config)
    assert files(config.member_dir(0)) == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_start_that_was_removed_since_is_no_longer_needed(copied: Path, tmp_path: Path, finished: bool) -> None:
    whole, config = (tuned(tmp_path / name, copied, train={"freeze": ["stem.*"]}) for name in ("whole", "run"))
    train(whole)
    if finished:
        train(config)
    else:
        stopped_at(config, STEPS + 4, signal.SIGUSR2)
    copied.unlink()
    assert is_trained(config, 0) == finished
    assert support.same_weights(train(config), whole.member_dir(0) / "best.pt")
    assert is_trained(config, 0)
    (config.member_dir(0) / RECORD).unlink()
    with pytest.raises(MissingInputError, match=r"train\.init_from: .*start\.pt is not there"):
        is_trained(config, 0)


def test_another_start_that_is_not_there_is_not_taken_for_the_one_that_was(copied: Path, tmp_path: Path) -> None:
    config = tuned(tmp_path / "run", copied, train={"epochs": 1})
    train(config)
    other = config.train.model_copy(update={"init_from": tmp_path / "other.pt"})
    with pytest.raises(MissingInputError, match=r"other\.pt is not there"):
        is_trained(config.model_copy(update={"train": other}), 0)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": {"freeze": ["stems.*"]}}, "train.freeze: 'stems.*' matches none of stem.weight, stages.0.halve.0"),
        ({"train": {"freeze": ["*"]}}, "the patterns match all parameters, and nothing is left to learn"),
        (
            {"train": {"freeze": ["dense.*"]}, "instrument": WIDE},
            "train.freeze: dense.1.weight begins anew (weight 16 x 160 here, 16 x 128 there), and would stay as it",
        ),
        (
            {"network": {"kind": "starnet"}},
            "best.pt holds a resnet, and network.kind is starnet here: set network.kind",
        ),
    ],
    ids=["nothing", "everything", "begins anew", "other kind"],
)
def test_a_start_that_cannot_be_meant_is_one_message_and_exit_code_2(
    source: ExperimentConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    words: str,
) -> None:
    config = tuned(tmp_path / "run", members(source), **changes)
    assert main(["train", str(config.run_dir / "config.yaml")]) == 2
    told = capsys.readouterr().err.strip()
    assert words in told
    assert len(told.splitlines()) == 1
    assert not (config.member_dir(0) / "last.pt").exists()


def test_a_start_that_is_not_there_is_named_with_what_is(source: ExperimentConfig, tmp_path: Path) -> None:
    config = tuned(tmp_path / "run", members(source), ensemble={"members": 3})
    with pytest.raises(MissingInputError, match=r"02/best\.pt is not there; that folder has 00, 01; train more there"):
        train(config, 2)
    with pytest.raises(MissingInputError, match=r"best\.pt is not there; name a trained member's best\.pt"):
        train(tuned(tmp_path / "other", tmp_path / "nowhere"))


def test_weights_as_they_were_drawn_are_not_frozen(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="freeze would keep weights as they were drawn: give init_from"):
        tuned(tmp_path / "run", None, train={"freeze": ["stem.*"]})
