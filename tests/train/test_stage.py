"""Training one member in one process: what it leaves, how it goes on after an interruption, what it refuses."""

import csv
import errno
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import (
    ConfigError,
    InterruptedRunError,
    LauncherError,
    MissingInputError,
    RunDirectoryBusyError,
    StorageFullError,
    StoreMismatchError,
    TrainingError,
)
from starnet_hpc.networks import Gaussian, load_member, negative_log_likelihood
from starnet_hpc.stores import only_writer, open_store
from starnet_hpc.train import checkpoint, is_trained, loop, stage, train
from starnet_hpc.train import step as steps
from starnet_hpc.train.loop import Trainer
from starnet_hpc.train.masks import PixelMask
from tests import support

EPOCHS, STEPS = 3, 8
OFTEN = 1e-6
"""Minutes between checkpoints: one after each step."""


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The member that comes out if nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return train(support.ready_to_train(folder, train={"epochs": EPOCHS}))


def history(config: ExperimentConfig, member: int = 0) -> list[dict[str, float]]:
    with (config.member_dir(member) / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def at_batch(monkeypatch: pytest.MonkeyPatch, place: int, action: Any) -> None:
    """Let `action(flux)` happen to the flux of one batch of the training, counted from 0."""
    calls = 0
    mask = PixelMask.train

    def masked(self: PixelMask, flux: torch.Tensor, rows: torch.Tensor, epoch: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        flux = mask(self, flux, rows, epoch)
        return flux if calls != place + 1 else action(flux)

    monkeypatch.setattr(PixelMask, "train", masked)


def hit_at(monkeypatch: pytest.MonkeyPatch, place: int, number: signal.Signals) -> None:
    def signalled(flux: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), number)
        return flux

    at_batch(monkeypatch, place, signalled)


def stopped_at(config: ExperimentConfig, place: int, number: signal.Signals) -> InterruptedRunError:
    """Train until a signal comes with a batch (from 0); return the error that ends the training."""
    with pytest.MonkeyPatch.context() as patch:
        hit_at(patch, place, number)
        with pytest.raises(InterruptedRunError, match="the state is saved") as caught:
            train(config)
    return caught.value


# --- what a member is a function of -----------------------------------------------------------------------------------


def test_a_member_belongs_to_windows_not_to_the_file_that_they_were_read_from(tmp_path: Path) -> None:
    windows = tmp_path / "windows.txt"
    windows.write_text("5150.5 5152.5\n5154 5156\n6000 6100\n")
    listed = support.ready_to_train(tmp_path / "run", train={"epochs": 1}, network={"only": str(windows)})
    train(listed)
    windows.unlink()
    same = support.experiment(tmp_path / "run", train={"epochs": 1}, network={"only": [[5154, 5156], [5150.5, 5152.5]]})
    assert is_trained(same, 0)
    other = support.experiment(tmp_path / "run", train={"epochs": 1}, network={"only": [[5150.5, 5152.5]]})
    with pytest.raises(StoreMismatchError, match="another configuration"):
        train(other)


def test_labels_of_a_member_are_those_that_the_configuration_names_in_the_packages_order(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": 1, "labels": ["vrad", "teff"]})
    known = load_member(train(config)).trained_on
    store = open_store(config.store("train"), made_by="augment")
    assert known.label_names == ["teff", "vrad"]
    np.testing.assert_allclose(known.label_mean, store.column("labels")[:, [0, 2]].mean(axis=0), rtol=1e-5)
    assert is_trained(support.experiment(tmp_path / "run", train={"epochs": 1, "labels": ["teff", "vrad"]}), 0)


def test_a_label_that_the_spectra_lack_is_refused_with_those_that_they_have(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"labels": ["teff", "mg_fe"]})
    with pytest.raises(
        ConfigError, match=r"train.labels: the spectra of .* have no mg_fe; choose from teff, feh, vrad"
    ):
        train(config)


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["resnet", "starnet"])
def test_a_network_learns_labels_from_line_spectra_in_seconds(tmp_path: Path, kind: str) -> None:
    config = support.ready_to_train(
        tmp_path / "run",
        rows=768,
        valid=192,
        train={
            "epochs": 20,
            "batch_size": 32,
            "learning_rate": 1e-2 if kind == "resnet" else 2e-3,
        },
        network={"kind": kind},
    )
    path = train(config)
    losses = [row["valid_loss"] for row in history(config)]
    # Who knows nothing but mean and scatter of the labels has 0.5; a tenth of the scatter on all labels would be -1.8.
    assert losses[0] > 0.0
    assert min(losses) < losses[0] - 0.6
    member, store = load_member(path), open_store(config.store("valid"), made_by="augment")
    with torch.inference_mode():
        mean, variance = member.network(torch.from_numpy(store.read(0, 192)).float())
    mean, variance = member.trained_on.scale.physical(mean.numpy(), variance.numpy())
    error = mean - store.column("labels")
    scatter = member.trained_on.scale.std
    assert (np.median(np.abs(error), axis=0) < 0.4 * scatter).all()  # a guess at the mean: 0.87 of a uniform label's
    assert 0.5 < np.sqrt(np.mean(error**2 / variance)) < 2.0  # and it knows how large its errors are


def test_the_weights_that_are_kept_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    # A learning rate that is far too high: the validation loss goes up and down.
    config = support.ready_to_train(
        tmp_path / "run", train={"epochs": 9, "schedule": "plateau", "learning_rate": 0.05, "stop_patience": 9}
    )
    path = train(config)
    losses = [row["valid_loss"] for row in history(config)]
    best = int(np.argmin(losses))
    assert best < len(losses) - 1, "the last epoch is the best: this test shows nothing"
    assert torch.load(path, weights_only=True)["facts"]["epoch"] == best + 1
    assert valid_loss(config) == pytest.approx(losses[best], abs=2e-6)  # the history has six decimals


def test_validation_asks_for_the_likelihood_whatever_is_trained_with(tmp_path: Path) -> None:
    rows = []
    for beta in (0.0, 0.5):
        changes = {"epochs": 1, "beta_nll": beta, "learning_rate": 1e-4}
        config = support.ready_to_train(tmp_path / f"{beta}" / "run", train=changes)
        train(config)
        rows += history(config)
        assert valid_loss(config) == pytest.approx(rows[-1]["valid_loss"], abs=2e-6)
    plain, weighted = rows
    # Networks that have learned nearly nothing claim a variance of ln 2 everywhere: that scales what is trained with.
    assert weighted["train_loss"] / plain["train_loss"] == pytest.approx(math.log(2.0) ** 0.5, rel=0.01)
    assert weighted["valid_loss"] == pytest.approx(plain["valid_loss"], rel=0.01)


def valid_loss(config: ExperimentConfig) -> float:
    """Return the loss of the kept member on the validation spectra."""
    member, store = load_member(config.member_dir(0) / "best.pt"), open_store(config.store("valid"), made_by="augment")
    with torch.inference_mode():
        prediction = member.network(torch.from_numpy(store.read(0, len(store))).float())
    labels = torch.from_numpy(member.trained_on.scale.standardised(store.column("labels")))
    return negative_log_likelihood(prediction, labels).item()


@pytest.mark.parametrize("schedule", ["plateau", "constant", "onecycle", "cosine"])
def test_training_ends_early_after_many_epochs_that_were_no_better(tmp_path: Path, schedule: str) -> None:
    config = support.ready_to_train(
        tmp_path / "run",
        network={"kind": "starnet"},
        train={
            "epochs": 40,
            "schedule": schedule,
            "warmup_epochs": 0,
            "learning_rate": 1e-30,  # too little to change a weight, so that no epoch is better than the first
            "plateau_patience": 1,
            "stop_patience": 3,
            "optimizer": "adam",
        },
    )
    train(config)
    rows = history(config)
    assert len(rows) == 1 + 3
    if schedule == "plateau":
        assert [row["learning_rate"] for row in rows] == pytest.approx([1e-30, 1e-30, 5e-31, 2.5e-31], abs=0)
    assert is_trained(config, 0)


def test_validation_spectra_are_never_masked_at_random(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That the validation loss is the one of unmasked spectra is shown above, for the best epoch.
    learning: list[bool] = []
    mask = PixelMask.train

    def masked(self: PixelMask, *arguments: Any) -> torch.Tensor:
        learning.append(torch.is_grad_enabled())
        return mask(self, *arguments)

    monkeypatch.setattr(PixelMask, "train", masked)
    train(config)
    # After the last epoch the training spectra pass once more, to show where the hidden layer puts them.
    assert learning == [True] * EPOCHS * STEPS + [False] * STEPS


def test_the_history_has_a_line_for_each_epoch(config: ExperimentConfig) -> None:
    train(config)
    rows = history(config)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["learning_rate"] == pytest.approx(config.train.learning_rate * 1e-4, rel=1e-3)
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_members_start_and_learn_differently_and_each_is_reproducible(
    config: ExperimentConfig, undisturbed: Path
) -> None:
    first, second = train(config, 0), train(config, 1)
    assert support.same_weights(first, undisturbed)
    assert not support.same_weights(first, second)


def test_a_finished_member_is_left_alone(config: ExperimentConfig) -> None:
    train(config)
    before = {path: path.stat().st_mtime_ns for path in config.member_dir(0).iterdir()}
    assert {path.name for path in before} == {"best.pt", "last.pt", "history.csv", "validation.json"}
    assert is_trained(config, 0)
    assert not is_trained(config, 1)
    train(config)
    assert before == {path: path.stat().st_mtime_ns for path in config.member_dir(0).iterdir()}


WINDOWS = {"epochs": EPOCHS, "shuffle_shards": 1}
"""Four windows an epoch."""


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_weights_and_losses_do_not_depend_on_where_the_spectra_lie(tmp_path: Path, dtype: str) -> None:
    curves, best = [], []
    for home in ("auto", "device", "host", "stream"):
        config = support.ready_to_train(
            tmp_path / home, train={**WINDOWS, "residency": home}, augment={"shard_rows": 32, "dtype": dtype}
        )
        best.append(train(config))
        curves.append([(row["train_loss"], row["valid_loss"]) for row in history(config)])
        log = (config.run_dir / "logs" / "train-00.log").read_text()
        where = "on the disk, and are read ahead" if home == "stream" else "in memory"
        for name, rows in (("train", 128), ("valid", 48)):
            assert f"{name}.zarr: {rows} spectra of this process (" in log
        assert log.count(f"are {where}") == 2
        assert f"train.residency: {home}; auto has room for " in log
    assert all(curve == curves[0] for curve in curves)
    assert all(support.same_weights(path, best[0]) for path in best)


def test_training_may_go_on_with_its_spectra_elsewhere(tmp_path: Path) -> None:
    undisturbed = train(support.ready_to_train(tmp_path / "undisturbed", train=WINDOWS))
    config = support.ready_to_train(tmp_path / "run", train={**WINDOWS, "residency": "stream"})
    stopped_at(config, STEPS + 3, signal.SIGUSR2)
    elsewhere = config.model_copy(update={"train": config.train.model_copy(update={"residency": "host"})})
    stopped_at(elsewhere, 3, signal.SIGUSR2)
    assert support.same_weights(train(config), undisturbed)


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
@pytest.mark.parametrize("place", [0, STEPS + 4, 2 * STEPS - 1, EPOCHS * STEPS - 1])
def test_training_that_a_signal_stopped_goes_on_to_the_same_weights(
    config: ExperimentConfig, undisturbed: Path, place: int, number: signal.Signals
) -> None:
    error = stopped_at(config, place, number)
    assert f"in epoch {place // STEPS + 1} after step {place % STEPS + 1};" in str(error)
    assert error.signal == number
    assert not (config.member_dir(0) / "best.pt").exists(), "half a training looks done"
    assert not is_trained(config, 0)
    assert support.same_weights(train(config), undisturbed)
    assert is_trained(config, 0)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
@pytest.mark.parametrize(
    ("moment", "stands"),
    [
        ("reading", "in epoch 1 after step 0"),
        ("validation", "in epoch 2 after step 0"),
        ("saving", "in epoch 1 after step 4"),
    ],
)
def test_a_signal_while_no_step_is_taken_is_heeded_before_the_next_one(
    config: ExperimentConfig,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    stands: str,
    number: signal.Signals,
) -> None:
    with monkeypatch.context() as patch:
        if moment == "reading":
            patch.setattr(stage, "_trainer", signalled(stage._trainer, number))
        elif moment == "validation":
            patch.setattr(Trainer, "_validate", signalled(Trainer._validate, number))
        else:  # while the state is saved because of a first one
            hit_at(patch, 3, signal.SIGUSR2)
            patch.setattr(checkpoint, "save", signalled(checkpoint.save, number))
        with pytest.raises(InterruptedRunError, match=f"{stands}; the state is saved") as caught:
            train(config)
    assert caught.value.signal == number
    assert support.same_weights(train(config), undisturbed)


def signalled(function: Callable[..., Any], number: signal.Signals) -> Callable[..., Any]:
    """Return a function that sends this process a signal each time before it does its work."""

    def first_signalled(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return function(*arguments, **options)

    return first_signalled


def test_training_survives_being_stopped_again_and_again(
    config: ExperimentConfig, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = 0
    for _ in range(EPOCHS * STEPS):
        with monkeypatch.context() as patch:
            hit_at(patch, 4, signal.SIGUSR1)
            try:
                path = train(config)
            except InterruptedRunError:
                stops += 1
            else:
                break
    assert stops == EPOCHS * STEPS // 5
    assert support.same_weights(path, undisturbed)
    assert len(history(config)) == EPOCHS


def test_handlers_of_signals_are_put_back_after_training(config: ExperimentConfig) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
    train(config)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)] == before


@pytest.mark.parametrize("often", [True, False], ids=["checkpoint each step", "checkpoint each epoch"])
def test_training_that_was_killed_goes_on_from_the_last_checkpoint_to_the_same_weights(
    tmp_path: Path, undisturbed: Path, often: bool
) -> None:
    minutes = OFTEN if often else 10.0
    config = support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "checkpoint_minutes": minutes})
    done = support.run(Path(__file__).parent / "hit.py", config.run_dir / "config.yaml", str(STEPS + 5), "SIGKILL")
    assert done.returncode == -signal.SIGKILL
    progress = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == (1, 5 if often else 0)
    assert not (config.member_dir(0) / "best.pt").exists()
    assert support.same_weights(train(config), undisturbed)


def test_a_kill_between_the_last_checkpoint_and_the_end_loses_nothing(
    config: ExperimentConfig, undisturbed: Path
) -> None:
    best = train(config)
    best.rename(best.with_name("best-so-far.pt"))  # as it lies there before it is published
    assert not is_trained(config, 0)
    assert support.same_weights(train(config), undisturbed)


@pytest.mark.parametrize("name", ["last.pt", "best-so-far.pt"])
def test_a_lost_or_damaged_file_of_an_unfinished_training_makes_it_begin_anew(
    config: ExperimentConfig, undisturbed: Path, name: str
) -> None:
    stopped_at(config, STEPS + 3, signal.SIGUSR2)
    path = config.member_dir(0) / name
    if name == "last.pt":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.unlink()
    assert support.same_weights(train(config), undisturbed)


def test_a_finished_member_whose_weights_were_removed_is_trained_again(
    config: ExperimentConfig, undisturbed: Path
) -> None:
    train(config).unlink()
    assert support.same_weights(train(config), undisturbed)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def spoil_loss(monkeypatch: pytest.MonkeyPatch, where: str, place: int) -> None:
    """Let the loss, or only its gradient, of one step (from 0) or of one validation batch be no number."""
    calls = 0

    def spoilt(prediction: Gaussian, labels: torch.Tensor, *beta: float) -> torch.Tensor:
        nonlocal calls
        loss = negative_log_likelihood(prediction, labels, *beta)
        if torch.is_grad_enabled() == (where != "validation"):
            calls += 1
            if calls == place + 1:
                if where != "gradient":
                    return loss * math.nan
                prediction.mean.register_hook(lambda gradient: gradient * math.inf)
        return loss

    for room in (steps, loop):
        monkeypatch.setattr(room, "negative_log_likelihood", spoilt)


@pytest.mark.parametrize(
    ("where", "place", "words", "saved"),
    [
        ("loss", STEPS + 3, r"the loss is nan .* epoch 2 at step 4", (1, 3)),
        ("gradient", STEPS + 3, r"the gradient's norm (inf|nan) in epoch 2 at step 4", (1, 3)),
        ("validation", 4, r"the validation loss is nan in epoch 2", (1, STEPS)),
    ],
)
def test_what_is_no_number_ends_the_training_and_spoils_no_file(
    tmp_path: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    place: int,
    words: str,
    saved: tuple[int, int],
) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "checkpoint_minutes": OFTEN})
    with monkeypatch.context() as patch:
        spoil_loss(patch, where, place)
        with pytest.raises(TrainingError, match=words) as caught:
            train(config)
    assert "lower train.learning_rate" in str(caught.value)
    progress = torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == saved
    assert support.same_weights(train(config), undisturbed)


def test_a_disk_that_is_full_keeps_the_last_checkpoint_and_says_what_to_do(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = support.ready_to_train(tmp_path / "run", train={"epochs": EPOCHS, "checkpoint_minutes": OFTEN})

    def full(flux: torch.Tensor) -> torch.Tensor:
        patch.setattr(os, "fsync", no_space)
        return flux

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        at_batch(patch, 5, full)
        with pytest.raises(StorageFullError, match="no space left"):
            train(config)
    assert torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]["step"] == 5
    assert {path.name for path in config.member_dir(0).iterdir()} == {"last.pt"}
    assert support.same_weights(train(config), undisturbed)


def test_a_member_is_not_trained_twice_at_the_same_time(config: ExperimentConfig) -> None:
    with only_writer(config.member_dir(0)), pytest.raises(RunDirectoryBusyError):
        train(config)


def test_a_folder_of_another_configuration_is_refused_and_left_alone(config: ExperimentConfig) -> None:
    train(config)
    before = files(config.member_dir(0))
    other = config.model_copy(update={"train": config.train.model_copy(update={"learning_rate": 1e-4})})
    with pytest.raises(StoreMismatchError, match="another configuration"):
        train(other)
    (config.member_dir(0) / "last.pt").unlink()
    with pytest.raises(StoreMismatchError, match="another configuration"):
        train(other)
    del before["last.pt"]
    assert files(config.member_dir(0)) == before


def test_a_training_begun_with_other_processes_is_not_continued(config: ExperimentConfig) -> None:
    stopped_at(config, 3, signal.SIGUSR2)
    path = config.member_dir(0) / "last.pt"
    torch.save({**torch.load(path, weights_only=True), "world": 2}, path)
    with pytest.raises(StoreMismatchError, match="begun with 2 processes and cannot go on with 1"):
        train(config)


def test_missing_spectra_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"train\.zarr.*starnet-hpc augment"):
        train(support.experiment(tmp_path / "run"))


def test_a_label_that_is_always_the_same_cannot_be_learned(tmp_path: Path) -> None:
    config = support.experiment(tmp_path / "run")
    labels = support.drawn_labels(64, 1)
    labels[:, 1] = 0.0
    columns = {"labels": labels, "draws/snr": np.ones(64), "template": np.arange(64)}
    for name in ("train", "valid"):
        support.write_rows(config, name, np.ones((64, support.PIXELS)), columns)
    with pytest.raises(ConfigError, match="the same feh"):
        train(config)
    train(support.experiment(tmp_path / "run", train={"epochs": 1, "labels": ["teff", "vrad"]}))


def test_several_processes_that_know_nothing_of_each_other_do_not_all_train_the_member(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PMI_SIZE", "4")  # what `mpiexec -n 4 python -m starnet_hpc.train` shows each of them
    with pytest.raises(LauncherError, match="torchrun"):
        train(config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--member", "2"], "members are 0 to 1"),
        (["--set", "train.batch_size=256"], "train.batch_size: 256 spectra a process"),
        (["--set", "train.learning_rates=1"], "did you mean 'learning_rate'?"),
    ],
)
def test_a_wrong_configuration_is_one_message_and_exit_code_2(
    config: ExperimentConfig, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["train", str(config.run_dir / "config.yaml"), *options]) == 2
    told = capsys.readouterr().err.strip()
    assert words in told
    assert len(told.splitlines()) == 1
    assert not (config.member_dir(0) / "last.pt").exists()


def test_a_stopped_training_ends_with_exit_code_1_and_a_finished_one_with_0(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(config.run_dir / "config.yaml")]
    with monkeypatch.context() as patch:
        hit_at(patch, 3, signal.SIGTERM)
        assert main(command) == 1
    assert "run the same command again" in capsys.readouterr().err
    assert main(command) == 0
