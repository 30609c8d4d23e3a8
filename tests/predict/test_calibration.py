"""The factor that makes one sigma hold 68 % of the residuals."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.predict import predict
from starnet_hpc.predict.calibration import Calibration, calibrate, read_calibration, write_calibration
from tests import support

ROWS = 20_000
TEMPLATES = np.arange(ROWS) // 20


def residuals(*factors: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, claimed sigma and truth of an ensemble whose true sigma is these factors times what it claims."""
    generator = np.random.default_rng(8)
    sigma = generator.uniform(0.5, 2.0, size=(ROWS, len(factors)))
    mean = generator.normal(size=sigma.shape)
    return mean, sigma, mean + sigma * factors * generator.standard_normal(sigma.shape)


def test_the_factor_is_how_much_too_small_sigma_was_for_each_label() -> None:
    found = calibrate(*residuals(1.0, 0.5, 2.0), TEMPLATES)
    # 20,000 draws: the quantile's standard error is sqrt(0.68 x 0.32 / 20000) / (2 x density at 1 sigma) = 0.7 %.
    np.testing.assert_allclose(found.factor, [1.0, 0.5, 2.0], rtol=0.03)
    np.testing.assert_allclose(found.error, 0.007 * np.array([1.0, 0.5, 2.0]), rtol=1.0)  # ten groups tell it roughly
    assert found.rows == ROWS


def test_a_factor_that_would_hide_a_defect_is_limited() -> None:
    np.testing.assert_array_equal(calibrate(*residuals(50.0, 0.01), TEMPLATES).factor, [5.0, 0.2])


def test_rows_without_a_prediction_do_not_count() -> None:
    mean, sigma, truth = residuals(1.0)
    mean[::2] = np.nan
    assert calibrate(mean, sigma, truth, TEMPLATES).rows == ROWS // 2
    assert calibrate(np.full_like(mean, np.nan), sigma, truth, TEMPLATES).factor == 1.0


def test_a_calibration_is_kept_as_it_was(tmp_path: Path) -> None:
    few = calibrate(*(part[:40] for part in residuals(1.0, 2.0)), TEMPLATES[:40])
    assert np.isnan(few.error).all(), "two templates cannot tell an error"
    write_calibration(tmp_path / "calibration.json", few, ["teff", "feh"])
    again = read_calibration(tmp_path / "calibration.json", 2)
    np.testing.assert_array_equal(again.factor, few.factor)
    assert (again.rows, np.isnan(again.error).all()) == (40, True)
    np.testing.assert_array_equal(read_calibration(tmp_path / "none.json", 3).factor, Calibration.none(3).factor)


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=32, valid=64)


def test_catalogues_have_calibrated_and_claimed_sigmas(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    table = Table.read(path)
    kept = read_calibration(config.run_dir / "predictions" / "calibration.json", 3)
    assert kept.rows == table.meta["CALROWS"] == 64
    for k, name in enumerate(support.LABELS):
        np.testing.assert_allclose(table[f"{name}_err"], table[f"{name}_err_raw"] * kept.factor[k], rtol=1e-12)
        assert table.meta[f"CALFAC{k + 1}"] == f"{kept.factor[k]:.4f}"


def test_a_second_run_leaves_the_calibration_alone_and_new_members_make_a_new_one(config: ExperimentConfig) -> None:
    predict(config)
    path = config.run_dir / "predictions" / "calibration.json"
    before, content = path.stat().st_mtime_ns, path.read_bytes()
    predict(config)
    assert path.stat().st_mtime_ns == before
    support.write_member(config, 0, seed=9)
    predict(config)
    assert path.read_bytes() != content


def test_the_calibration_of_validation_spectra_that_are_gone_is_not_used(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    config.store("valid").rename(config.run_dir / "elsewhere.zarr")
    predict(config)
    table = Table.read(path)
    np.testing.assert_array_equal(table["teff_err"], table["teff_err_raw"])
