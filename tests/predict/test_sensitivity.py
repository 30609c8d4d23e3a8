"""Gradients of labels with respect to flux: right, at rest, and kept once."""

import numpy as np
import pytest
import torch

from starnet_hpc.config import ExperimentConfig, NetworkConfig
from starnet_hpc.networks import Member, TrainedOn, build_network
from starnet_hpc.predict import predict
from starnet_hpc.predict.sensitivity import gradients, resting_pixels, sensitivity_file, summary
from starnet_hpc.stores import open_store, read_arrays
from tests import support

C_KMS = 299792.458
STD = [800.0, 0.5]


def member(number: int, pixels: int, **settings: object) -> Member:
    torch.manual_seed(number)
    network = build_network(NetworkConfig.model_validate(settings), pixels, 2)
    with torch.no_grad():
        network.get_submodule("head.linear").weight.mul_(20.0)
    known = TrainedOn(["teff", "logg"], [5000.0, 3.0], STD, [4000.0, 1.0], [7000.0, 5.0], pixels, "", "", 20.0)
    return Member(number, network.eval(), known, "")


@pytest.mark.parametrize(
    "settings",
    [{"kind": "starnet"}, {"kind": "resnet"}, {"kind": "resnet", "head": "mixture", "mask_channel": True}],
    ids=["starnet", "resnet", "mixture"],
)
def test_gradients_are_those_of_finite_differences(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, step = 160, 1e-7
    members = [member(k, pixels, **settings) for k in (1, 2)]
    rng = np.random.default_rng(1)
    flux = rng.uniform(0.5, 1.0, (9, pixels)).astype(np.float32)
    flux[:, 40:44] = 0.0
    found = gradients(members, flux, "cpu")
    assert np.isnan(found[:, :, 40:44]).all()
    direction = rng.standard_normal(flux.shape) * (flux != 0)

    # In double precision, the head, too, which computes in float32 otherwise; so that a step can be too small for the
    # corners of ReLU and of the pooling.
    monkeypatch.setattr("starnet_hpc.networks.heads._in_float32", lambda linear, features: linear(features))

    def labels(sign: float) -> np.ndarray:
        moved = torch.from_numpy(flux + sign * step * direction)
        with torch.no_grad():
            return np.mean([one.network.double()(moved).mean.numpy() for one in members], axis=0)

    expected = (labels(+1) - labels(-1)) / (2 * step)
    derivative = np.nansum(found * direction[:, None], axis=2) / STD
    np.testing.assert_allclose(derivative, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kms", [-150.0, 0.0, 80.0])
def test_a_line_is_brought_to_where_it_is_at_rest(kms: float) -> None:
    wavelength = np.concatenate([np.arange(5150.0, 5160.0, 0.05), np.arange(5165.0, 5175.0, 0.05)])
    moved = 5170.0 * np.sqrt((1 + kms / C_KMS) / (1 - kms / C_KMS))
    profile = np.exp(-0.5 * ((wavelength - moved) / 0.2) ** 2)
    pixels = resting_pixels(wavelength, np.array([kms]))[0]
    assert abs(wavelength[np.argmax(np.where(pixels < 0, 0.0, profile[pixels]))] - 5170.0) <= 0.05
    # Nothing comes across the gap, nor from beyond the ends.
    lost = wavelength[pixels < 0]
    width = abs(kms) / C_KMS * 5175
    assert lost.size == pytest.approx(2 * width / 0.05, abs=4)
    known = pixels >= 0
    assert (np.abs(wavelength[pixels[known]] - wavelength[known] * moved / 5170.0) < 0.04).all()


def test_a_summary_has_means_and_errors_over_spectra_and_bins_without_gaps() -> None:
    wavelength = np.concatenate([np.arange(1500.0), 2000.0 + np.arange(700.0)])
    rng = np.random.default_rng(2)
    found = rng.normal(1.0, 0.5, (40, 2, 2200)).astype(np.float32)
    found[:5, :, 10] = np.nan
    found[1:, :, 20], found[:, :, 30] = np.nan, np.nan
    flux = np.where(np.isfinite(found[:, 0]), 0.7, 0.0).astype(np.float32)
    told = summary(wavelength, flux, found, resting_pixels(wavelength, np.zeros(40)))
    assert told["gradient"][:, :10] == pytest.approx(found[:, :, :10].mean(axis=0, dtype=float), rel=1e-5)
    assert told["gradient_error"].mean(where=np.isfinite(told["gradient_error"])) == pytest.approx(
        0.5 / 40**0.5, rel=0.05
    )
    assert told["gradient"][0, 10] == pytest.approx(found[5:, 0, 10].mean(), rel=1e-5)
    assert np.isfinite(told["gradient"][:, 20]).all()
    assert np.isnan(told["gradient_error"][:, 20]).all()
    assert np.isnan(told["gradient"][:, 30]).all()
    assert np.isnan(told["median_flux"][30])
    assert told["median_flux"][0] == pytest.approx(0.7)
    first, last = told["first"], told["last"]
    assert (first[1:] == last[:-1] + 1).all()
    assert (wavelength[last] - wavelength[first] == last - first).all()
    assert np.unique(told["piece"][first >= 1500]).size == np.unique(told["piece"][last < 1500]).size == 1
    assert told["sizes"].sum() == pytest.approx(np.nansum(np.abs(found)), rel=1e-5)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    found = support.ready_to_predict(tmp_path_factory.mktemp("sensitivity") / "run", survey=8, test=40)
    predict(found)
    return found


def test_gradients_are_kept_once_and_made_again_for_other_members(config: ExperimentConfig) -> None:
    path = sensitivity_file(config)
    kept, store = read_arrays(path), open_store(config.store("test"), made_by="augment")
    assert kept is not None
    assert str(kept["input"]) == store.content_digest
    assert kept["sizes"].shape[:2] == (40, len(support.LABELS))
    assert list(kept["label_names"]) == list(support.LABELS)
    time = path.stat().st_mtime_ns
    predict(config)
    assert path.stat().st_mtime_ns == time
    path.write_bytes(path.read_bytes()[:1000])  # as a full disk leaves it
    predict(config)
    again = read_arrays(path)
    assert again is not None
    np.testing.assert_array_equal(again["gradient"], kept["gradient"])
    support.write_member(config, 1, seed=77)
    predict(config)
    other = read_arrays(path)
    assert other is not None
    assert str(other["members"]) != str(kept["members"])
    assert (other["gradient"] != kept["gradient"]).mean() > 0.9


def test_want_of_memory_costs_a_chapter_and_no_catalogue(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory\nand much more")

    monkeypatch.setattr("starnet_hpc.predict.sensitivity.gradients", fail)
    sensitivity_file(config).unlink()
    assert predict(config)
    assert not sensitivity_file(config).exists()
    assert "no chapter on them: CUDA out of memory" in capsys.readouterr().err
