"""The factors that make one sigma hold 68 % of the residuals."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.predict import predict
from starnet_hpc.predict.calibration import Calibration, calibrate, read_calibration, write_calibration
from tests import support

ROWS = 20_000
TEMPLATES = np.arange(ROWS) // 20
SNR = 1.0 / np.random.default_rng(9).uniform(0.002, 0.07, ROWS)


def residuals(*factors: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, claimed sigma and truth of an ensemble whose true sigma is these factors times what it claims."""
    generator = np.random.default_rng(8)
    sigma = generator.uniform(0.5, 2.0, size=(ROWS, len(factors)))
    mean = generator.normal(size=sigma.shape)
    return mean, sigma, mean + sigma * factors * generator.standard_normal(sigma.shape)


def test_the_factor_is_how_much_too_small_sigma_was_for_each_label() -> None:
    found = calibrate(*residuals(1.0, 0.5, 2.0), SNR, TEMPLATES)
    # 20,000 draws: the quantile's standard error is sqrt(0.68 x 0.32 / 20000) / (2 x density at 1 sigma) = 0.7 %.
    np.testing.assert_allclose(found.overall, [1.0, 0.5, 2.0], rtol=0.03)
    np.testing.assert_allclose(found.overall_error, 0.007 * np.array([1.0, 0.5, 2.0]), rtol=1.0)  # ten groups: roughly
    assert found.rows == ROWS
    assert found.factor.shape == (8, 3)
    np.testing.assert_allclose(found.factor, np.tile([1.0, 0.5, 2.0], (8, 1)), rtol=0.06)


def test_sigmas_that_are_wrong_by_the_noise_cover_at_every_noise_afterwards() -> None:
    mean, sigma, truth = residuals(1.0)
    wrong = np.sqrt(SNR / 40.0)[:, None]  # too large at high S/N, too small at low
    found = calibrate(mean, sigma * wrong, truth, SNR, TEMPLATES)
    covered = np.abs(truth - mean) < sigma * wrong * found.at(SNR)
    for part in np.array_split(np.argsort(SNR), 10):
        assert covered[part].mean() == pytest.approx(0.6827, abs=0.05)
    assert (np.abs(truth - mean) < sigma * wrong * found.overall)[SNR > 100].mean() > 0.8, "one factor would not do"


def test_factors_are_constant_beyond_the_bins_and_overall_where_nothing_is_known() -> None:
    found = calibrate(*residuals(1.0, 2.0), SNR, TEMPLATES)
    there = found.at(np.array([1e-3, np.inf, np.nan, 0.0, -1.0]))
    np.testing.assert_allclose(there, [found.factor[0], found.factor[-1], *[found.overall] * 3])


@pytest.mark.parametrize("snr", [np.full(ROWS, np.nan), np.full(ROWS, 30.0)], ids=["unknown", "all the same"])
def test_without_different_snrs_there_is_one_factor(snr: np.ndarray) -> None:
    found = calibrate(*residuals(2.0), snr, TEMPLATES)
    assert found.snr.size == 0
    np.testing.assert_allclose(found.at(np.array([10.0, np.nan])), 2.0, rtol=0.03)


def test_a_factor_that_would_hide_a_defect_is_limited() -> None:
    found = calibrate(*residuals(50.0, 0.01), SNR, TEMPLATES)
    np.testing.assert_array_equal(found.overall, [5.0, 0.2])
    np.testing.assert_array_equal(found.factor, [[5.0, 0.2]] * 8)


def test_rows_without_a_prediction_do_not_count() -> None:
    mean, sigma, truth = residuals(1.0)
    mean[::2] = np.nan
    assert calibrate(mean, sigma, truth, SNR, TEMPLATES).rows == ROWS // 2
    assert calibrate(np.full_like(mean, np.nan), sigma, truth, SNR, TEMPLATES).overall == 1.0


@pytest.mark.parametrize(("rows", "bins"), [(40, 0), (600, 2)])
def test_a_calibration_is_kept_as_it_was(tmp_path: Path, rows: int, bins: int) -> None:
    found = calibrate(*(part[:rows] for part in residuals(1.0, 2.0)), SNR[:rows], TEMPLATES[:rows])
    assert np.isnan(found.overall_error).all() == (rows == 40), "two templates cannot tell an error"
    assert found.snr.size == bins
    write_calibration(tmp_path / "calibration.json", found, ["teff", "feh"])
    again = read_calibration(tmp_path / "calibration.json", 2)
    for one, other in zip(astuple(again), astuple(found), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read_calibration(tmp_path / "none.json", 3).overall, Calibration.none(3).overall)


def test_a_calibration_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(
        '{"labels": ["teff"], "factor": [1.0], "factor_error": [null], "rows": 9}'
    )
    with pytest.raises(StoreDamagedError, match=r"calibration\.json: of an earlier version; remove it"):
        read_calibration(tmp_path / "calibration.json", 1)


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=32, valid=64)


def test_catalogues_have_calibrated_and_claimed_sigmas(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    table = Table.read(path)
    kept = read_calibration(config.run_dir / "predictions" / "calibration.json", 3)
    assert kept.rows == table.meta["CALROWS"] == 64
    for k, name in enumerate(support.LABELS):
        np.testing.assert_allclose(table[f"{name}_err"], table[f"{name}_err_raw"] * kept.overall[k], rtol=1e-12)
        assert table.meta[f"CALALL{k + 1}"] == f"{kept.overall[k]:.4f}"
        assert table.meta[f"CALFAC{k + 1}"] == "none", "64 spectra are too few for bins"


def test_a_second_run_leaves_the_calibration_alone_and_new_members_make_a_new_one(config: ExperimentConfig) -> None:
    predict(config)
    path = config.run_dir / "predictions" / "calibration.json"
    before, content = path.stat().st_mtime_ns, path.read_bytes()
    predict(config)
    assert path.stat().st_mtime_ns == before
    support.write_member(config, 0, seed=9)
    predict(config)
    assert path.read_bytes() != content


def test_a_calibration_stays_with_its_members_when_the_validation_spectra_are_gone(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    before = path.read_bytes()
    config.store("valid").rename(config.run_dir / "elsewhere.zarr")
    path.unlink()
    predict(config)
    assert path.read_bytes() == before


def test_the_calibration_of_other_members_is_not_used(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    config.store("valid").rename(config.run_dir / "elsewhere.zarr")
    support.write_member(config, 0, seed=9)
    predict(config)
    table = Table.read(path)
    np.testing.assert_array_equal(table["teff_err"], table["teff_err_raw"])
    assert table.meta["FEATLIM"] == "none"
