"""The end of a training: the report of the weights that are kept."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.networks import load_member
from starnet_hpc.stores import open_store
from starnet_hpc.train import is_trained, train, validation
from tests import support
from tests.train.test_stage import history

VALID = 118  # three shards of 32 rows, and one of 22


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    config = support.ready_to_train(tmp_path_factory.mktemp("trained") / "run", valid=VALID, train={"epochs": 3})
    train(config)
    return config


@pytest.fixture
def unpublished(trained: ExperimentConfig, tmp_path: Path) -> ExperimentConfig:
    """A member that is trained, but whose process was killed before it was published."""
    config = support.ready_to_train(tmp_path / "run", valid=VALID, train={"epochs": 3})
    shutil.rmtree(config.member_dir(0), ignore_errors=True)
    shutil.copytree(trained.member_dir(0), config.member_dir(0))
    (config.member_dir(0) / "best.pt").rename(config.member_dir(0) / "best-so-far.pt")
    (config.member_dir(0) / "validation.json").unlink()
    assert not is_trained(config, 0)
    return config


def report(config: ExperimentConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((config.member_dir(0) / "validation.json").read_text())
    return found


def test_the_report_is_about_the_weights_that_are_kept(trained: ExperimentConfig) -> None:
    member, store = (
        load_member(trained.member_dir(0) / "best.pt"),
        open_store(trained.store("valid"), made_by="augment"),
    )
    flux = torch.from_numpy(store.read(0, VALID)).float()
    with torch.inference_mode():
        mean, variance = (part.numpy().astype(float) for part in member.network(flux))
    scale = member.trained_on.scale
    pull = (scale.standardised(store.column("labels")) - mean) / np.sqrt(variance)
    found = report(trained)
    assert (found["rows"], found["templates"]) == (VALID, np.unique(store.column("template")).size)
    # The history has six decimals; its mean is over batches in float32.
    assert found["nll"] == pytest.approx(min(row["valid_loss"] for row in history(trained)), abs=3e-6)
    assert list(found["labels"]) == list(support.LABELS)
    for k, label in enumerate(found["labels"].values()):
        error = np.abs(pull[:, k]) * np.sqrt(variance[:, k]) * scale.std[k]
        assert label["nll"] == pytest.approx(np.mean(0.5 * np.log(variance[:, k]) + 0.5 * pull[:, k] ** 2), abs=1e-5)
        assert label["median_absolute"] == pytest.approx(np.median(error), rel=1e-4)
        assert label["temperature"] == pytest.approx(np.sqrt(np.mean(pull[:, k] ** 2)), rel=1e-5)
        assert label["coverage_68"] == pytest.approx(100 * np.mean(np.abs(pull[:, k]) < 1), abs=1)
        assert min(label["temperature_error"], label["median_absolute_error"]) > 0


def test_the_member_keeps_the_factors_beside_weights_that_know_nothing_of_them(trained: ExperimentConfig) -> None:
    saved, labels = torch.load(trained.member_dir(0) / "best.pt", weights_only=True), report(trained)["labels"].values()
    for name in ("temperature", "one_sigma_factor"):
        assert saved["facts"][name] == [label[name] for label in labels]
    assert {"epoch", "valid_loss", "world", "software"} <= set(saved["facts"])


def test_the_member_keeps_where_training_spectra_lie_in_its_last_hidden_layer(trained: ExperimentConfig) -> None:
    member, store = (
        load_member(trained.member_dir(0) / "best.pt"),
        open_store(trained.store("train"), made_by="augment"),
    )
    assert member.features is not None
    assert member.features.rows == len(store)
    with torch.inference_mode():
        hidden = member.network.hidden(torch.from_numpy(store.read(0, len(store))).float())
    # The statistics are of spectra with up to a tenth of the pixels masked, these have all.
    spread = hidden.std(dim=0).max().item()
    np.testing.assert_allclose(member.features.mean, hidden.mean(dim=0), atol=spread)
    assert 0.3 < member.features.distance(hidden).median() < 1.5


@pytest.mark.parametrize("processes", [1, 3])
def test_the_report_has_the_same_bytes_whatever_number_of_processes_made_it(
    trained: ExperimentConfig, unpublished: ExperimentConfig, processes: int
) -> None:
    command = ("-m", "starnet_hpc.train", unpublished.run_dir / "config.yaml")
    if processes == 1:
        ended = [(support.run(*command).returncode, "")]
    else:
        ended = support.finish(support.start_ranks(processes, *command, port=support.free_port()))
    assert [code for code, _ in ended] == [0] * processes
    folder = unpublished.member_dir(0)
    assert (folder / "validation.json").read_bytes() == (trained.member_dir(0) / "validation.json").read_bytes()
    assert support.same_weights(folder / "best.pt", trained.member_dir(0) / "best.pt")
    one, other = (torch.load(path / "best.pt", weights_only=True) for path in (folder, trained.member_dir(0)))
    assert one["features"]["digest"] == other["features"]["digest"]
    assert not (folder / "best-so-far.pt").exists()
    assert is_trained(unpublished, 0)


def test_processes_that_share_a_member_of_windows_judge_it_as_one_process_does(tmp_path: Path) -> None:
    changes = {
        "train": {"epochs": 1, "gpus_per_node": 2},
        "network": {"only": [[5151, 5155]], "ignore": [[5152, 5153]]},
    }
    config = support.ready_to_train(tmp_path / "run", **changes)
    command = ("-m", "starnet_hpc.train", config.run_dir / "config.yaml")
    ended = support.finish(support.start_ranks(2, *command, port=support.free_port()))
    assert [code for code, _ in ended] == [0, 0], ended[0][1]
    assert report(config)["nll"] == pytest.approx(history(config)[0]["valid_loss"], abs=3e-6)


def test_a_signal_does_not_stop_the_report(unpublished: ExperimentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = validation.label_scores

    def signalled(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return scores(*arguments)

    monkeypatch.setattr(validation, "label_scores", signalled)
    train(unpublished)
    assert is_trained(unpublished, 0)


def test_a_mixture_is_judged_by_its_own_distribution(tmp_path: Path) -> None:
    network = {"head": "mixture", "components": 2}
    config = support.ready_to_train(tmp_path / "run", train={"epochs": 2}, network=network)
    train(config)
    found = report(config)
    assert found["nll"] == pytest.approx(min(row["valid_loss"] for row in history(config)), abs=3e-6)
    assert all(label["pit_distance"] < 1 for label in found["labels"].values())
