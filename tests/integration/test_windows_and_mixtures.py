"""Members that see some windows only, learn some labels, and answer with mixtures: from templates to the report."""

from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import evaluate
from starnet_hpc.networks import load_member
from starnet_hpc.predict import predict
from starnet_hpc.stores import open_store
from starnet_hpc.train import train
from tests.augment.cases import experiment, write_grid

TEST_ROWS = 24
WINDOWS = "5155 5160   # two windows of the instrument, and one of another\n5172 5184\n6000 6010\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "windows.txt").write_text(WINDOWS)
    config = experiment(
        folder / "run",
        augment={"vrad_max": 20.0, "continuum_segment": 5.0, "n_test": TEST_ROWS},
        network={
            "channels": [8, 8],
            "dense": 16,
            "head": "mixture",
            "components": 2,
            "mask_channel": True,
            "only": str(folder / "windows.txt"),
            "ignore": [[5176, 5178]],
        },
        train={"epochs": 3, "batch_size": 16, "threads": 1, "labels": ["vsini", "feh"]},
        ensemble={"members": 2},
        cluster={"gpus": False},
    )
    write_grid(config)
    augment(config)
    for member in range(2):
        train(config, member)
    (folder / "windows.txt").unlink()  # who predicts needs nothing but the members
    predict(config)
    evaluate(config)
    return config


def catalogue(config: ExperimentConfig) -> Any:
    return fits.getdata(config.catalogue("test"), 1)


def test_the_catalogue_has_mean_and_variance_of_the_members_mixtures(config: ExperimentConfig) -> None:
    flux = torch.from_numpy(open_store(config.store("test"), made_by="augment").read(0, TEST_ROWS)).float()
    means, variances = [], []
    for number in range(2):
        member = load_member(config.member_dir(number) / "best.pt")
        with torch.inference_mode():
            share, mean, variance = (part.double() for part in member.network(flux))
        centre, square = (share.exp() * mean).sum(-1), (share.exp() * (variance + mean**2)).sum(-1)
        scale = member.trained_on.scale
        physical = scale.physical(centre.numpy(), (square - centre**2).numpy())
        means.append(physical[0])
        variances.append(physical[1])
    found = catalogue(config)
    # Batches of another size change float32 sums by parts in a million.
    for k, name in enumerate(("feh", "vsini")):
        sigma = np.sqrt(np.mean(variances, axis=0)[:, k])
        np.testing.assert_allclose(found[name], np.mean(means, axis=0)[:, k], rtol=0, atol=1e-4 * sigma.min())
        np.testing.assert_allclose(found[f"{name}_aleatoric"], sigma, rtol=1e-4)


def test_pixels_outside_of_the_windows_and_ignored_ones_change_nothing(config: ExperimentConfig) -> None:
    store = open_store(config.store("test"), made_by="augment")
    flux, pixels = torch.from_numpy(store.read(0, 4)).float(), store.wavelength
    hidden = ~(within(pixels, 5155, 5160) | within(pixels, 5172, 5184)) | within(pixels, 5176, 5178)
    member = load_member(config.member_dir(0) / "best.pt")
    other, seen = flux.clone(), flux.clone()
    other[:, hidden] = 0.3
    seen[:, np.flatnonzero(~hidden)[0]] = 0.3
    with torch.inference_mode():
        assert torch.equal(member.network(other).mean, member.network(flux).mean)
        assert not torch.equal(member.network(seen).mean, member.network(flux).mean)
    assert hidden.mean() == pytest.approx(1.0 - 15 / 40, abs=0.01)  # 5 + 12 - 2 of 40 A are seen


def test_labels_that_were_not_learned_are_in_no_catalogue(config: ExperimentConfig) -> None:
    names = {name.partition("_")[0] for name in catalogue(config).names}
    assert names == {"id", "feh", "vsini", "feature", "flags", "n"}


def test_sigma_was_calibrated_on_the_labels_that_it_belongs_to(config: ExperimentConfig) -> None:
    valid, found = open_store(config.store("valid"), made_by="augment"), catalogue(config)
    flux = torch.from_numpy(valid.read(0, len(valid))).float()
    members = [load_member(config.member_dir(number) / "best.pt") for number in range(2)]
    with torch.inference_mode():
        answers = [member.network(flux) for member in members]
    means, variances = (np.stack([getattr(a, part).double() for a in answers]) for part in ("mean", "variance"))
    truth = valid.column("labels")[:, [valid.label_names.index(name) for name in ("feh", "vsini")]]
    pull = np.abs(means.mean(0) - members[0].trained_on.scale.standardised(truth))
    pull /= np.sqrt(variances.mean(0) + means.var(0))
    for k, name in enumerate(("feh", "vsini")):
        factor = np.quantile(pull[:, k], 0.682689)
        np.testing.assert_allclose(found[f"{name}_err"], factor * found[f"{name}_err_raw"], rtol=1e-3)


def test_the_report_finds_every_held_out_spectrum_predicted(config: ExperimentConfig) -> None:
    found = catalogue(config)
    assert np.isfinite(found["feh"]).all()
    assert (found["n_members"] == 2).all()
    report = (config.run_dir / "report.html").read_text(encoding="utf-8")
    assert f"Half of the {TEST_ROWS} held-out spectra have errors below" in report
    assert "Networks do not see all of it: network.only and network.ignore." in report


def within(pixels: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return (pixels > low) & (pixels < high)
