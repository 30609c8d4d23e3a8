"""What validation spectra say of the ensemble and of the diversity of its members."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.networks import Combined, combined, load_member, merge, moments
from starnet_hpc.predict import predict
from starnet_hpc.predict.validation import diversity
from starnet_hpc.stores import open_store
from tests import support

ROWS = 20_000
SIGMA = np.array([50.0, 0.05])
"""What members claim."""


def answers(*own: float) -> tuple[NDArray[np.float64], Combined, NDArray[np.float64]]:
    """Answers of members whose errors are a common part of one sigma, and one of their own of so many sigma."""
    generator = np.random.default_rng(21)
    truth = generator.uniform([4000, -2], [7000, 0.5], size=(ROWS, 2))
    common = generator.standard_normal((ROWS, 2))
    means = np.stack([truth + SIGMA * (common + part * generator.standard_normal((ROWS, 2))) for part in own])
    total = moments(means[0], np.broadcast_to(SIGMA**2, truth.shape))
    for mean in means[1:]:
        total = merge(total, moments(mean, np.broadcast_to(SIGMA**2, truth.shape)))
    return means, combined(total), truth


def test_members_differ_by_what_is_their_own() -> None:
    found = diversity(*answers(0.5, 0.5, 0.5), ["teff", "feh"])
    assert found["nearly_same"] == []
    # Their own variance of 0.25: two thirds of it are left about the mean of three.
    epistemic = 0.25 * 2 / 3
    for label in found["labels"].values():
        correlation, distance = np.array(label["correlation"]), np.array(label["distance"])
        apart = ~np.eye(3, dtype=bool)
        # 20,000 draws: standard errors of 0.003 and 0.5 %.
        np.testing.assert_allclose(correlation[apart], 1 / 1.25, atol=0.012)
        np.testing.assert_allclose(distance[apart], np.sqrt(2 * 0.25) * np.sqrt(2 / np.pi), rtol=0.02)
        np.testing.assert_allclose(np.diag(correlation), 1)
        np.testing.assert_array_equal(np.diag(distance), 0)
        # The mean of a ratio: the spread of three answers varies from row to row.
        assert label["epistemic_share"] == pytest.approx(epistemic / (1 + epistemic), rel=0.15)


def test_two_members_that_are_nearly_the_same_are_named() -> None:
    assert diversity(*answers(0.01, 0.5, 0.01), ["teff", "feh"])["nearly_same"] == [[0, 2]]


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=32, valid=64, ensemble={"members": 3})


def told(config: ExperimentConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((config.run_dir / "predictions" / "validation.json").read_text())
    return found


def test_predict_leaves_scores_and_diversity_of_the_members_beside_the_calibration(config: ExperimentConfig) -> None:
    predict(config)
    found, store = told(config), open_store(config.store("valid"), made_by="augment")
    flux = torch.from_numpy(store.read(0, 64)).float()
    means = []
    for k in range(3):
        member = load_member(config.member_dir(k) / "best.pt")
        with torch.inference_mode():
            said = member.network(flux)
        means.append(member.trained_on.scale.physical(said.mean.numpy(), said.variance.numpy())[0])
    assert (found["rows"], found["diversity"]["nearly_same"]) == (64, [])
    for k, name in enumerate(support.LABELS):
        assert found["labels"][name]["median_absolute"] == pytest.approx(
            np.median(np.abs(np.mean(means, axis=0) - store.column("labels"))[:, k]), rel=1e-3
        )
        distance = found["diversity"]["labels"][name]["distance"]
        # In units of the same sigma: the pair whose answers are farther apart has the larger distance.
        apart = {(a, b): np.abs(means[a] - means[b])[:, k].mean() for a, b in ((0, 1), (0, 2), (1, 2))}
        assert max(apart, key=lambda pair: apart[pair]) == max(apart, key=lambda pair: distance[pair[0]][pair[1]])


def test_a_member_that_is_nearly_another_one_is_warned_of(config: ExperimentConfig) -> None:
    one, other = (config.member_dir(k) / "best.pt" for k in (0, 2))
    copied = load_member(one).network
    with torch.no_grad():
        copied.get_submodule("head.linear").weight.mul_(1 + 1e-4)
    saved = torch.load(other, weights_only=True)
    known = support.trained_on(config)
    changed = support.save_dict(copied, config.network, known, 2, saved["digest"])
    torch.save(changed, other)
    predict(config)
    assert told(config)["diversity"]["nearly_same"] == [[0, 2]]
    assert "members 0 and 2 are nearly the same" in (config.run_dir / "logs" / "predict.log").read_text()


def test_validation_spectra_that_cannot_be_used_tell_nothing(tmp_path: Path) -> None:
    config = support.ready_to_predict(tmp_path / "run", survey=32)
    columns = {"labels": support.drawn_labels(8, 1), "template": np.arange(8), "draws/snr": np.ones(8)}
    support.write_rows(config, "valid", np.zeros((8, support.PIXELS)), columns)
    predict(config)
    assert told(config)["rows"] == 0
    assert "diversity" not in told(config)
