"""Steps: what they ask of a device, what float16 leaves out, and when one looks at them."""

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig, NetworkConfig, TrainConfig
from starnet_hpc.errors import TrainingError
from starnet_hpc.networks import build_network
from starnet_hpc.train import stage, train
from starnet_hpc.train import step as steps
from starnet_hpc.train.clock import clock_of
from starnet_hpc.train.data import Batch
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.ranks import Ranks
from starnet_hpc.train.step import Stepper
from tests import support
from tests.train.test_stage import EPOCHS, OFTEN, STEPS, history, spoil_loss, stopped_at

CPU = torch.device("cpu")
PIXELS, LABELS = 96, 3
RATE = 1e-3


def stepper(**train: Any) -> Stepper:
    """Return one that trains a tiny network alone; float16 here means the arithmetic of CPUs, which is as narrow."""
    torch.manual_seed(5)
    network = build_network(NetworkConfig(channels=(4,), dense=8), PIXELS, LABELS)
    mask = PixelMask(5, 0, torch.zeros(PIXELS, dtype=torch.bool), 0.1)
    return Stepper(network, TrainConfig(**train), Ranks(0, 1, 1, 1, CPU), mask, clock_of(CPU))


def batch() -> Batch:
    generator = torch.Generator().manual_seed(6)
    flux = 1.0 - 0.1 * torch.rand((8, PIXELS), generator=generator)
    return Batch(flux, torch.randn((8, LABELS), generator=generator), torch.arange(8))


def weights(taking: Stepper) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in taking.network.parameters()]


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def overflowing(monkeypatch: pytest.MonkeyPatch, places: range) -> None:
    """Let the gradients of these steps (from 0) be larger than float16 holds; their losses are numbers."""
    calls = 0
    likelihood = steps.negative_log_likelihood

    def large(prediction: Any, *arguments: Any) -> torch.Tensor:
        nonlocal calls
        if calls in places:
            prediction.mean.register_hook(lambda gradient: gradient * torch.inf)
        calls += 1
        return likelihood(prediction, *arguments)

    monkeypatch.setattr(steps, "negative_log_likelihood", large)


# --- a device that is not waited for ----------------------------------------------------------------------------------


class Asked(TorchDispatchMode):
    """Notes what would make this process wait for a GPU: a number, a place or a length that only the GPU knows."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.calls += 1
        if name.startswith(self.WAITS):
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


def test_what_makes_a_process_wait_is_noticed() -> None:
    with Asked() as asked:
        if torch.ones(1).sum() > 0:
            torch.nn.utils.clip_grad_norm_([torch.ones(1, requires_grad=True)], 1.0).item()
    assert asked.waits == ["_local_scalar_dense", "_local_scalar_dense"]


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"precision": "bfloat16"},
        {"precision": "float16"},
        {"ema": 0.9},
        {"optimizer": "adam", "clip_gradient": None},
    ],
    ids=str,
)
def test_a_step_asks_nothing_of_the_device(train: dict[str, Any]) -> None:
    taking = stepper(**train)
    taking.begin()
    taking.take(batch(), 0, RATE, 0)  # optimisers make their states with the first step
    before = weights(taking)
    with Asked() as asked:
        taking.take(batch(), 1, RATE, 0)
    assert asked.waits == []
    assert asked.calls > 100
    assert not same(before, weights(taking))
    assert len(taking.look()) == 2


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the steps as rarely as on a GPU, or nearly."""
    monkeypatch.setitem(steps._LOOK_EVERY, "cpu", 5)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """The member, and its history, of steps that were looked at one by one."""
    config = support.ready_to_train(tmp_path_factory.mktemp("undisturbed") / "run", train={"epochs": EPOCHS})
    return train(config), history(config)


@pytest.mark.usefixtures("rarely")
@pytest.mark.parametrize("place", [None, 0, 6, STEPS - 1, 2 * STEPS + 5])
def test_when_one_looks_changes_nothing(
    tmp_path: Path, undisturbed: tuple[Path, list[dict[str, float]]], place: int | None
) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS})
    if place is not None:
        stopped_at(config, place, signal.SIGUSR2)
    assert support.same_weights(train(config), undisturbed[0])
    for row, other in zip(history(config), undisturbed[1], strict=True):
        for name in ("train_loss", "valid_loss", "gradient_norm", "learning_rate"):
            assert row[name] == other[name]


def test_the_sum_of_losses_in_a_checkpoint_does_not_depend_on_stops_before_it(tmp_path: Path) -> None:
    sums = []
    for places in ((6,), (1, 4, 6)):
        config = support.ready_to_train(tmp_path / str(len(places)) / "run", train={"epochs": EPOCHS})
        before = 0
        for place in places:
            stopped_at(config, place - before, signal.SIGUSR2)
            before = place + 1
        progress = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
        sums.append((progress["step"], progress["loss_sum"], progress["norms"]))
    assert sums[0] == sums[1]
    assert sums[0][0] == 7


@pytest.mark.usefixtures("rarely")
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize(
    ("place", "minutes", "saved"),
    [(STEPS + 1, 10.0, (1, 0)), (2 * STEPS - 1, 10.0, (1, 0)), (STEPS + 3, OFTEN, (1, 3))],
    ids=["between looks", "last step of an epoch", "before a checkpoint"],
)
def test_what_is_no_number_is_seen_before_anything_is_saved(
    tmp_path: Path,
    undisturbed: tuple[Path, list[dict[str, float]]],
    where: str,
    place: int,
    minutes: float,
    saved: tuple[int, int],
) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "checkpoint_minutes": minutes})
    with pytest.MonkeyPatch.context() as patch:
        spoil_loss(patch, where, place)
        with pytest.raises(TrainingError, match=f"in epoch 2 at step {place - STEPS + 1};"):
            train(config)
    progress = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == saved
    assert support.same_weights(train(config), undisturbed[0])


# --- float16 ----------------------------------------------------------------------------------------------------------


def test_steps_whose_gradients_overflow_are_left_out_and_the_loss_is_made_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overflowing(monkeypatch, range(1, 3))
    taking = stepper(precision="float16")
    taking.begin()
    found = []
    for step in range(4):
        taking.take(batch(), step, RATE, 0)
        found.append((weights(taking), taking.states()["scaler"]["scale"]))
    changed = [not same(before, after) for (before, _), (after, _) in pairwise(found)]
    assert changed == [False, False, True]
    scales = [scale for _, scale in found]
    assert scales == [scales[0], scales[0] / 2, scales[0] / 4, scales[0] / 4]
    taken = taking.look()
    assert [step.fault for step in taken] == [None] * 4
    assert [step.norm is None for step in taken] == [False, True, True, False]


def test_a_gradient_in_float16_is_that_of_float32_within_its_digits() -> None:
    norms = []
    for precision in ("float32", "float16"):
        taking = stepper(precision=precision)
        taking.begin()
        taking.take(batch(), 0, RATE, 0)
        norms.append(taking.look()[0].norm)
    # The gradient is told of the loss as it is, not as it was scaled for the arithmetic, whose eleven bits are 5e-4.
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


@pytest.fixture
def float16(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ExperimentConfig:
    """An experiment in float16, for which a CPU may stand in."""
    monkeypatch.setattr(stage, "check_precision", lambda *_: None)
    return support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "precision": "float16"})


def test_gradients_that_overflow_without_end_are_an_error_that_says_what_to_do(
    float16: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        overflowing(patch, range(3, 1000))
        with pytest.raises(TrainingError, match=r"26 gradients one after the other .* epoch 4 at step 5; .* bfloat16"):
            train(float16.model_copy(update={"train": float16.train.model_copy(update={"epochs": 9})}))
    progress = torch.load(float16.member_dir(0) / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == (3, 0)


def test_a_loss_that_is_no_number_is_an_error_in_float16_too(
    float16: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, "loss", 3)
    with pytest.raises(TrainingError, match=r"the loss is nan .* step 4; .* choose train.precision bfloat16"):
        train(float16)


def test_float16_that_was_interrupted_after_steps_were_left_out_goes_on_to_the_same_weights(
    float16: ExperimentConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        overflowing(patch, range(3))
        whole = train(float16)
    assert history(float16)[0]["train_loss"] > history(float16)[-1]["train_loss"]
    again = support.ready_to_train(tmp_path / "again", train={"epochs": EPOCHS, "precision": "float16"})
    with monkeypatch.context() as patch:
        overflowing(patch, range(3))
        stopped_at(again, STEPS + 3, signal.SIGUSR2)
    assert support.same_weights(train(again), whole)


def test_float16_without_a_gpu_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = support.ready_to_train(tmp_path / "run")
    command = ["train", str(config.run_dir / "config.yaml"), "--set", "train.precision=float16"]
    assert main(command) == 2
    assert "train.precision: float16 is for GPUs, and there is none here; bfloat16" in capsys.readouterr().err
    assert not config.member_dir(0).exists()
