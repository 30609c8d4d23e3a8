"""The experiment of Fig. A3: networks trained without noise, tested on the spectra of those trained with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate.inputs import read_inputs
from starnet_hpc.evaluate.verdict import of_noise
from starnet_hpc.flags import Flag
from starnet_hpc.predict import predict
from starnet_hpc.stores import Store, open_store
from starnet_hpc.train import train
from tests.augment.cases import experiment, write_grid

TRAIN, TEST = 1024, 256
SETTINGS: dict[str, Any] = {
    "n_train": TRAIN,
    "n_valid": 64,
    "n_test": TEST,
    "vrad_max": 5.0,
    "noise_max": 0.1,
    "zero_fraction_max": 0.0,
    "continuum_segment": 5.0,
}


def run(folder: Path, **augmentation: float) -> ExperimentConfig:
    config = experiment(
        folder / "run",
        augment={**SETTINGS, **augmentation},
        network={"channels": [8, 8], "dense": 16},
        train={"epochs": 10, "batch_size": 16, "threads": 1, "learning_rate": 5e-3},
        ensemble={"members": 1},
        cluster={"gpus": False},
    )
    write_grid(config, templates=200)
    augment(config)
    train(config)
    predict(config)
    return config


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExperimentConfig]:
    folder = tmp_path_factory.mktemp("noise")
    return {"noisy": run(folder / "noisy"), "noiseless": run(folder / "noiseless", noise_max_train=0.0)}


def store(config: ExperimentConfig, name: str) -> Store:
    return open_store(config.store(name), made_by="augment")


def catalogue(config: ExperimentConfig) -> Any:
    return fits.getdata(config.catalogue("test"), 1)


def test_both_are_tested_on_the_same_noisy_spectra(both: dict[str, ExperimentConfig]) -> None:
    one, other = (store(config, "test") for config in both.values())
    assert one.content_digest == other.content_digest
    assert one.attributes["recipe"] == other.attributes["recipe"]
    assert one.column("draws/noise").all()


def test_spectra_to_train_on_differ_by_the_noise_alone(both: dict[str, ExperimentConfig]) -> None:
    noisy, noiseless = (store(config, "train") for config in both.values())
    np.testing.assert_array_equal(noisy.column("labels"), noiseless.column("labels"))
    assert not noiseless.column("draws/noise").any()
    assert not store(both["noiseless"], "valid").column("draws/noise").any()
    difference = np.std(noisy.read(0, TRAIN).astype(float) - noiseless.read(0, TRAIN), axis=1)
    # The median of these spectra is somewhat below their continuum, and their continuum moves with the noise.
    expected = noisy.column("draws/noise")
    np.testing.assert_allclose(difference[expected > 0.02], expected[expected > 0.02], rtol=0.25)


def test_who_was_trained_without_noise_is_wrong_about_noisy_spectra_and_does_not_know_it(
    both: dict[str, ExperimentConfig],
) -> None:
    wrong, pull = {}, {}
    for name, config in both.items():
        found, tested = catalogue(config), store(config, "test")
        noisy = tested.column("draws/noise") > 0.05
        residual = np.abs(found["feh"] - tested.column("labels")[:, tested.label_names.index("feh")])
        wrong[name] = np.median(residual[noisy])
        pull[name] = np.median((residual / found["feh_err"])[noisy])
    # Noise lifts the continuum, so that lines look deeper (appendix A of the paper). Measured: 1.3 against 0.4 dex, and
    # 6.8 against 0.8 sigma.
    assert wrong["noiseless"] > 1.5 * wrong["noisy"]
    assert pull["noiseless"] > 3.0 * pull["noisy"]


def test_every_noisy_spectrum_is_flagged_as_noisier_than_what_was_trained_on(both: dict[str, ExperimentConfig]) -> None:
    flags = catalogue(both["noiseless"])["flags"]
    assert (flags & Flag.LOW_SNR != 0).all()


def test_the_report_says_that_there_was_no_noise(both: dict[str, ExperimentConfig]) -> None:
    said = {name: of_noise(read_inputs(config).training.snr) for name, config in both.items()}
    assert said["noiseless"].startswith("The training spectra have no noise")
    assert said["noisy"].startswith("S/N of the training spectra: 10 and more")
