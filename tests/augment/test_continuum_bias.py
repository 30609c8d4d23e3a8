"""`continuum_bias.npz`: offsets of the continuum that was found from the true one, and from the one without noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.augment import augment
from starnet_hpc.augment.bias import keep_continuum_bias
from starnet_hpc.augment.draws import draw
from starnet_hpc.augment.splits import template_parts
from starnet_hpc.augment.truth import true_continua
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import open_store
from tests.augment.cases import experiment, write_grid


def bias(config: ExperimentConfig, path: Path) -> dict[str, NDArray[Any]]:
    grid = open_store(config.store("grid"), made_by="ingest")
    keep_continuum_bias(path, config, grid, load_instrument(config.instrument))
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def ready(tmp_path: Path, *, truth: float = 1.0, templates: int = 60, **settings: Any) -> ExperimentConfig:
    """Return an experiment whose grid says that the continuum is `truth` times the real one (0: says nothing)."""
    config = experiment(tmp_path / f"run{truth}", augment=settings)
    write_grid(config, templates=templates, continuum=truth)
    return config


def test_the_true_continuum_follows_the_velocity_and_the_unit_of_the_flux(tmp_path: Path) -> None:
    """1.25 times the truth lowers the offset by a fifth; a receding star's continuum is that of shorter wavelengths."""
    found = {
        truth: bias(ready(tmp_path, truth=truth, noise_max=0.0, vrad_max=0.0, vsini_max=0.0), tmp_path / f"{truth}.npz")
        for truth in (1.0, 1.25)
    }
    for one in found.values():
        assert one["against_truth"]
        assert one["noise"].tolist() == [0.0]
    assert np.abs(found[1.0]["offset"]).max() < 0.05
    np.testing.assert_allclose((1 + found[1.25]["offset"]) * 1.25, 1 + found[1.0]["offset"], rtol=1e-5)
    config = ready(tmp_path, truth=2.0)
    grid = open_store(config.store("grid"), made_by="ingest")
    one = draw(1, "test", np.array([3]), 2, config.augment)
    moving = replace(one, vrad=np.float32([0.0, 150.0]))
    at_rest, receding = (true_continua(grid).of(moving, row, np.array([5180.0]))[0] for row in (0, 1))
    beta = 150.0 / 299_792.458
    emitted = 5180.0 * np.sqrt((1 - beta) / (1 + beta))
    expected = (1.0 + 2e-3 * (emitted - 5170.0)) / (1.0 + 2e-3 * 10.0)
    assert receding / at_rest == pytest.approx(expected, abs=3e-7)  # float32


def test_noise_pushes_the_continuum_up(tmp_path: Path) -> None:
    for truth in (1.0, 0.0):
        found = bias(ready(tmp_path, truth=truth), tmp_path / "bias.npz")
        assert bool(found["against_truth"]) == (truth > 0)
        assert found["method"] == "clip"
        np.testing.assert_allclose(found["noise"], np.linspace(0, 0.07, 8))
        assert found["offset"].shape == (found["template"].size, 8)
        rise = np.median(found["offset"], axis=0)
        assert (np.diff(rise) > 0).all()
        # docs/kernels.md: about one sigma of the noise above the level without.
        assert rise[-1] - rise[0] == pytest.approx(0.07, abs=0.03)
        if not truth:
            assert (found["offset"][:, 0] == 0).all()


def test_only_held_out_templates_take_part_balanced_over_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starnet_hpc.augment.bias._TEMPLATES", 24)
    config = ready(tmp_path, templates=400, noise_max=0.0)
    found = bias(config, tmp_path / "bias.npz")
    held_out = template_parts(config, open_store(config.store("grid"), made_by="ingest"))["test"]
    assert found["template"].size == 24
    assert np.isin(found["template"], held_out).all()
    teff = found["labels"][:, found["label_names"].tolist().index("teff")]
    everything = open_store(config.store("grid"), made_by="ingest").column("labels")[held_out, 0]
    assert np.histogram(teff, 8, range=(everything.min(), everything.max()))[0].tolist() == [3] * 8


def test_templates_whose_truth_is_unknown_are_left_out_if_it_is_known_of_others(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", augment={"noise_max": 0.0})
    write_grid(config, templates=60, continuum=1.0, continuum_unknown=30)
    found = bias(config, tmp_path / "bias.npz")
    assert found["against_truth"]
    assert found["template"].min() >= 30
    assert np.isfinite(found["offset"]).all()


@pytest.mark.parametrize(("continuum", "there"), [("clip", True), ("smooth", True), ("none", False)])
def test_augment_writes_it_once_unless_no_continuum_is_removed(tmp_path: Path, continuum: str, there: bool) -> None:
    config = ready(tmp_path, continuum=continuum)
    augment(config)
    path = config.run_dir / "continuum_bias.npz"
    assert path.exists() == there
    if there:
        before = path.read_bytes()
        path.unlink()
        augment(config)
        assert path.read_bytes() == before
        written = path.stat().st_mtime_ns
        augment(config)
        assert path.stat().st_mtime_ns == written
    with np.load(config.run_dir / "examples.npz") as examples:
        true, found = examples["true_continuum"], examples["continuum"]
        if continuum == "clip":  # with noise of up to 7 % up to as much higher, and a little for the scatter
            np.testing.assert_allclose(np.median(found / true, axis=1), 1.03, atol=0.08)
