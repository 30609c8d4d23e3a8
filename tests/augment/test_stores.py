"""What `augment` writes: spectra that are functions of their rows alone, with labels that belong to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest, norm

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.augment.splits import plan_splits
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import open_store
from tests.augment.cases import INSTRUMENT, LABELS, experiment, flux, same_stores, write_grid


def column(config: ExperimentConfig, split: str, name: str) -> np.ndarray:
    return open_store(config.store(split), made_by="augment").column(name)


def noise_pixels(config: ExperimentConfig) -> np.ndarray:
    """Return the noise [rows of all stores, pixels] in units of its sigma: noisy minus noiseless, same draws."""
    grid = open_store(config.store("grid"), made_by="ingest")
    templates, found = grid.mapped_rows(), []
    for split in plan_splits(config, grid, load_instrument(config.instrument)):
        quiet = replace(split.draws, noise=np.zeros_like(split.draws.noise))
        for row in range(split.layout.rows):
            noisy = split.spectra.observed(templates, split.draws, row)
            clean = split.spectra.observed(templates, quiet, row)
            found.append((noisy - clean) / (split.draws.noise[row] * np.median(clean)))
    return np.array(found, dtype=np.float64)


def test_rows_are_the_same_for_four_workers_and_larger_shards(
    finished_run: ExperimentConfig, tmp_path: Path, dask_scheduler: str
) -> None:
    config = experiment(tmp_path / "run", augment={"shard_rows": 64, "scheduler": dask_scheduler})
    write_grid(config)
    augment(config)
    assert open_store(config.store("train"), made_by="augment").layout.shard_rows == 64
    assert same_stores(config, finished_run)


def test_a_row_is_the_same_in_a_larger_store(finished_run: ExperimentConfig, tmp_path: Path) -> None:
    """Only the choice of templates depends on the number of rows: where it agrees, the spectra do."""
    config = experiment(tmp_path / "run", augment={"n_train": 32})
    write_grid(config)
    augment(config)
    same = np.flatnonzero(column(config, "train", "template") == column(finished_run, "train", "template")[:32])
    assert same.size
    assert np.array_equal(flux(config, "train")[same], flux(finished_run, "train")[same])


@pytest.mark.parametrize("resolution", [20_000, [[5150, 20_000], [5190, 26_000]]])
@pytest.mark.parametrize("native", [60_000.0, 26_000.0])
def test_templates_that_were_smoothed_before_give_the_same_spectra(
    tmp_path: Path, resolution: object, native: float
) -> None:
    seen = []
    for known in (None, native):
        config = experiment(
            tmp_path / str(known),
            augment={"continuum": "none", "dtype": "float32", "noise_max": 0.0, "n_train": 32},
            instrument={**INSTRUMENT, "resolution": resolution},
        )
        write_grid(config, native=known)
        augment(config)
        seen.append(flux(config, "train"))
    # Fluxes of 0.1 to 2 of lines with sigmas of 3 to 4 steps; SciPy's Gaussian knows no margin at the template's ends.
    np.testing.assert_allclose(*seen, atol=2e-5)
    recipe = open_store(config.store("train"), made_by="augment").attributes["recipe"]
    assert recipe["native_resolution"] == native


def test_no_two_rows_are_alike_even_of_the_same_template(finished_run: ExperimentConfig) -> None:
    everything = np.concatenate([flux(finished_run, split) for split in SPLITS])
    assert np.unique(everything, axis=0).shape[0] == everything.shape[0] == 96 + 24 + 24


def test_pixel_noise_is_normal_and_independent_between_rows_and_stores(finished_run: ExperimentConfig) -> None:
    everything = noise_pixels(finished_run)
    rows, pixels = everything.shape
    assert kstest(everything.ravel(), norm.cdf).pvalue > 1e-3  # the seed is fixed; see test_draws
    assert everything.std() == pytest.approx(1.0, abs=5.0 / np.sqrt(2 * everything.size))
    # Correlations between any two of 144 rows, of one store or of two, scatter by 1/sqrt(pixels); the largest of the
    # 10,296 is expected at 4 sigma.
    correlation = np.corrcoef(everything) - np.eye(rows)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(pixels)


def test_labels_are_those_of_the_template_and_of_the_draws(finished_run: ExperimentConfig) -> None:
    grid = open_store(finished_run.store("grid"), made_by="ingest")
    for split in SPLITS:
        store = open_store(finished_run.store(split), made_by="augment")
        assert store.label_names == (*LABELS, "vsini", "vrad")
        labels = store.column("labels")
        assert np.array_equal(labels[:, :4], grid.column("labels")[store.column("template")].astype(np.float32))
        assert np.array_equal(labels[:, 4], store.column("draws/vsini"))
        assert np.array_equal(labels[:, 5], store.column("draws/vrad"))


def test_no_template_is_in_two_stores(finished_run: ExperimentConfig) -> None:
    used = [set(column(finished_run, split, "template").tolist()) for split in SPLITS]
    assert sum(len(templates) for templates in used) == len(set.union(*used)) == 24


def test_label_statistics_are_those_of_the_labels(finished_run: ExperimentConfig) -> None:
    for split in SPLITS:
        store = open_store(finished_run.store(split), made_by="augment")
        labels = store.column("labels").astype(np.float64)
        for name in ("mean", "std", "min", "max"):
            # Labels are kept as float32, statistics in float64: 24 bits.
            np.testing.assert_allclose(store.attributes[f"label_{name}"], getattr(labels, name)(axis=0), rtol=1e-6)


def test_the_continuum_of_normalised_spectra_is_at_one(finished_run: ExperimentConfig) -> None:
    """And the network's inputs are alike for stars whose fluxes differ by a factor of nine."""
    brightest = np.quantile(flux(finished_run, "test").astype(float), 0.8, axis=1)
    assert np.abs(brightest - 1.0).max() < 0.1  # up to 7 % noise a pixel


def test_without_continuum_removal_spectra_keep_their_slope_and_have_a_median_of_one(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", augment={"continuum": "none", "noise_max": 0.0, "dtype": "float32"})
    write_grid(config, scale=1e7)  # fluxes far from one
    augment(config)
    fluxes = flux(config, "test").astype(float)
    np.testing.assert_allclose(np.median(fluxes, axis=1), 1.0, rtol=1e-6)
    # The continuum rises by 2e-3 an angstrom; lines 0.8 A apart leave little of it untouched, more on some stretches.
    slope = fluxes[:, -100:].max(axis=1) / fluxes[:, :100].max(axis=1)
    np.testing.assert_allclose(slope, 1.0 + 2e-3 * 35.0, rtol=0.05)


def test_a_running_mean_leaves_a_mean_of_one_everywhere(tmp_path: Path) -> None:
    settings = {"continuum": "smooth", "continuum_width": 3.0, "dtype": "float32"}
    config = experiment(tmp_path / "run", augment=settings)
    write_grid(config, scale=1e7)
    augment(config)
    parts = flux(config, "test").astype(float).reshape(24, 4, 200)  # 10 A each
    np.testing.assert_allclose(parts.mean(axis=2), 1.0, atol=0.05)
    wider = experiment(config.run_dir, augment={**settings, "continuum_width": 30.0})
    with pytest.raises(StoreMismatchError, match=r"augment\.continuum_width: 3\.0 -> 30\.0"):
        augment(wider)


def test_half_precision_is_the_rounded_single_precision(finished_run: ExperimentConfig, tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", augment={"dtype": "float32"})
    write_grid(config)
    augment(config)
    single, half = flux(config, "train"), flux(finished_run, "train")
    assert (single.dtype, half.dtype) == (np.float32, np.float16)
    assert np.array_equal(single.astype(np.float16), half)


def test_examples_hold_spectra_before_normalisation_that_give_those_of_the_store(
    finished_run: ExperimentConfig,
) -> None:
    with np.load(finished_run.run_dir / "examples.npz", allow_pickle=False) as examples:
        rows, normalised = examples["row"], examples["flux"] / examples["continuum"]
        assert rows.size == 8
        assert np.array_equal(normalised.astype(np.float16), flux(finished_run, "test")[rows])
        assert np.array_equal(examples["labels"].astype(np.float32), column(finished_run, "test", "labels")[rows])
        assert np.array_equal(examples["snr"], column(finished_run, "test", "draws/snr")[rows])
        assert np.array_equal(examples["wavelength"], load_instrument(finished_run.instrument).wavelength)


def test_examples_that_were_lost_are_written_again(ready: ExperimentConfig) -> None:
    augment(ready)
    examples = ready.run_dir / "examples.npz"
    before = examples.read_bytes()
    examples.unlink()
    augment(ready)
    assert examples.read_bytes() == before


def test_a_rerun_changes_no_byte(ready: ExperimentConfig) -> None:
    augment(ready)
    files = {path: path.stat().st_mtime_ns for path in ready.run_dir.rglob("*") if path.is_file()}
    augment(ready)
    log = ready.run_dir / "logs" / "augment.log"
    logs = {log, log.with_suffix(".jsonl")}
    assert {path for path, written in files.items() if path.stat().st_mtime_ns != written} <= logs
    assert log.read_text().count("complete already") == 3


def test_the_log_says_that_tellurics_mask_nothing_only_where_it_is_so(tmp_path: Path, ready: ExperimentConfig) -> None:
    says = "instrument small has no telluric windows in its range: step viii masks nothing"
    augment(ready)
    assert says in (ready.run_dir / "logs" / "augment.log").read_text()
    assert not isinstance(ready.instrument, str)
    windows = {**ready.instrument.model_dump(), "tellurics": [[5160.0, 5161.0]]}
    config = experiment(tmp_path / "masked", instrument=windows)
    write_grid(config)
    augment(config)
    assert says not in (config.run_dir / "logs" / "augment.log").read_text()
    # Windows are masked while training: the stored spectra are the same.
    assert same_stores(config, ready)
