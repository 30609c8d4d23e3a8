"""An instrument of three arms (a rule, a rule in velocity, a file), from templates and spectra to a trained member."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.observations import write_eso_sdp
from starnet_hpc.observe import observe
from starnet_hpc.stores import open_store
from starnet_hpc.train import train
from tests.augment.cases import closed_form, experiment, write_grid

SETTINGS: dict[str, Any] = {
    "n_train": 48,
    "n_valid": 16,
    "n_test": 16,
    "vsini_max": 20.0,
    "vrad_max": 20.0,
    "noise_max": 1e-6,
    "continuum_segment": 3.0,
    "continuum_knot_spacing": 6.0,
    "dtype": "float32",
}


def run(folder: Path, name: str, arms: list[dict[str, Any]]) -> tuple[NDArray[Any], NDArray[Any], ExperimentConfig]:
    """Return held-out and observed spectra [rows, pixels] of an instrument with these arms."""
    config = experiment(
        folder / name,
        instrument={
            "name": name,
            "arms": arms,
            "resolution": 20_000,
            "strong_lines": [[5168.0, 5169.0]],
            "tellurics": [[5149.0, 5150.0], [5190.0, 5190.5]],
        },
        survey={"path": str(folder / "observed"), "frame": "rest"},
        network={"channels": [8], "dense": 16},
        train={"epochs": 1, "batch_size": 16, "threads": 1},
        cluster={"gpus": False},
        augment=SETTINGS,
    )
    write_grid(config)
    augment(config)
    observe(config)
    held_out, observed = (open_store(config.store(store), made_by="augment") for store in ("test", "survey"))
    return held_out.read(0, 16), observed.read(0, 1), config


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    centres = 5182.0 + 0.05 * np.arange(220) + 0.01 * np.sin(np.arange(220) / 20.0)
    path = tmp_path_factory.mktemp("arms") / "red.npy"
    np.save(path, centres)
    return [
        {"start": 5147.0, "step": 0.05, "stop": 5159.0},
        {"start": 5164.0, "step": 2.9, "count": 240, "spacing": "logarithmic"},
        {"file": str(path)},
    ]


def test_three_arms_are_three_instruments_beside_each_other(tmp_path: Path, arms: list[dict[str, Any]]) -> None:
    wavelength = np.arange(5142.0, 5197.0, 0.02)
    (tmp_path / "observed").mkdir()
    star = 1e4 * closed_form(wavelength, np.array([5500.0, 4.0, -0.5, 0.1]))
    write_eso_sdp(tmp_path / "observed/star.fits", wavelength, star, snr=1000.0)

    held_out, observed, config = run(tmp_path, "whole", arms)
    instrument = load_instrument(config.instrument)
    assert held_out.shape == (16, instrument.wavelength.size)
    assert (observed[0] == 0).sum() == instrument.tellurics().sum() == 29
    parts = [run(tmp_path, f"arm{k}", [arm]) for k, arm in enumerate(arms)]
    # Noise of 1e-6 differs from run to run, and may move a pixel across the clipping limits of its segment.
    np.testing.assert_allclose(held_out, np.hstack([part[0] for part in parts]), rtol=0, atol=3e-3)
    np.testing.assert_allclose(observed, np.hstack([part[1] for part in parts]), rtol=0, atol=1e-6)
    assert np.abs(np.median(held_out) - 1.0) < 0.1

    train(config, 0)
    assert (config.member_dir(0) / "best.pt").exists()
