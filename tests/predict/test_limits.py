"""What few of the validation spectra reach, and the rows that are beyond it."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.flags import Flag
from starnet_hpc.networks import Combined, TrainedOn
from starnet_hpc.predict import predict
from starnet_hpc.predict.flagging import flag_doubts
from starnet_hpc.predict.limits import Limits, epistemic_share, find_limits, limits_header, read_limits, write_limits
from starnet_hpc.predict.reconstruction import Usual
from tests import support

ROWS = 10_000
NAMES = ["teff", "feh"]
USUAL = Usual(0.1, 1.3)
NO_MISFIT = np.empty(0)
DOUBTS = Flag.LARGE_SIGMA | Flag.LARGE_EPISTEMIC | Flag.UNLIKE_TRAINING


def known() -> TrainedOn:
    return TrainedOn(NAMES, [5000, 0], [500, 1], [4000, -2], [7000, 1], 10, "", "", snr_min=10.0)


def predictions(key: int) -> tuple[Combined, np.ndarray]:
    generator = np.random.default_rng(key)
    mean = generator.normal(size=(ROWS, 2))
    found = Combined(mean, np.ones_like(mean), generator.uniform(0, [0.5, 2.0], size=mean.shape))
    return found, generator.normal(1.0, 0.1, ROWS)


def test_one_spectrum_in_a_hundred_like_those_of_validation_is_beyond_each_limit() -> None:
    limits = find_limits(*predictions(1), USUAL)
    found, distance = predictions(2)
    # 100 of 10,000 are expected, twice (10 of scatter each time).
    assert (distance > limits.distance).sum() == pytest.approx(100, abs=50)
    np.testing.assert_allclose((epistemic_share(found) > limits.epistemic_share).sum(axis=0), 100, atol=50)


def test_the_epistemic_share_is_of_the_variance() -> None:
    found = Combined(np.zeros((1, 2)), np.array([[3.0, 1.0]]), np.array([[4.0, 0.0]]))
    np.testing.assert_allclose(epistemic_share(found), [[16 / 25, 0.0]])


def test_rows_without_a_prediction_set_no_limits_and_are_beyond_none() -> None:
    found, distance = predictions(1)
    whole = find_limits(found, distance, USUAL)
    for values in (found.mean, found.aleatoric, found.epistemic, distance):
        values[::2] = np.nan
    half = find_limits(found, distance, USUAL)
    np.testing.assert_allclose(half.epistemic_share, whole.epistemic_share, rtol=0.02)
    flags = flag_doubts(
        found, found.total, distance, NO_MISFIT, Limits(np.zeros(2), 0.0, USUAL), {"teff": 0.5}, known()
    )
    np.testing.assert_array_equal(flags, np.where(np.arange(ROWS) % 2, int(DOUBTS), 0))
    found.mean[:] = np.nan
    assert np.isnan(find_limits(found, distance, USUAL).distance)


def test_each_doubt_has_a_flag_of_its_own() -> None:
    aleatoric, epistemic = np.full((5, 2), 3.0), np.full((5, 2), 1.0)
    aleatoric[1, 0], epistemic[2, 1] = 30.0, 4.0
    found = Combined(np.zeros((5, 2)), aleatoric, epistemic)
    distance = np.array([1.0, 1.0, 1.0, 1.6, np.nan])
    misfit = np.array([1.2, np.nan, 1.0, 0.5, 1.4])
    limits = Limits(np.full(2, 0.2), 1.5, USUAL)
    flags = flag_doubts(found, found.total, distance, misfit, limits, {"teff": 10.0, "vsini": 1.0}, known())
    assert list(flags) == [0, Flag.LARGE_SIGMA, Flag.LARGE_EPISTEMIC, Flag.UNLIKE_TRAINING, Flag.POOR_FIT]
    assert not flag_doubts(found, found.total, distance, misfit, Limits.none(2), {}, known()).any()


@pytest.mark.parametrize("limits", [Limits(np.array([0.1, 1 / 3]), 1.7, USUAL), Limits.none(2)], ids=["some", "none"])
def test_limits_are_kept_as_they_were_and_told_in_the_header(tmp_path: Path, limits: Limits) -> None:
    write_limits(tmp_path / "limits.json", limits, NAMES)
    again = read_limits(tmp_path / "limits.json", 2)
    np.testing.assert_array_equal(again.epistemic_share, limits.epistemic_share)
    np.testing.assert_array_equal(again.distance, limits.distance)
    np.testing.assert_array_equal(astuple(again.usual), astuple(limits.usual))
    cards = {key: value for key, (value, _) in limits_header(limits, {"feh": 0.8}, NAMES).items()}
    numbers = ("none",) * 3 if np.isnan(limits.distance) else ("1.7", "0.1", "0.333333")
    assert cards == dict(zip(("FEATLIM", "EPILIM1", "EPILIM2"), numbers, strict=True)) | {
        "SIGLIM1": "none",
        "SIGLIM2": "0.8",
    } | ({} if np.isnan(limits.distance) else {"MISLIM": "1.3", "MISLINES": "0.1"})


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=48, valid=64, ensemble={"members": 3})


def test_rows_of_a_catalogue_beyond_the_limits_of_validation_are_flagged(config: ExperimentConfig) -> None:
    flux = np.random.default_rng(3).normal(1.0, 0.02, (48, support.PIXELS))
    flux[40:, ::2] = 3.0  # spectra as no star has them
    config.store("survey").rename(config.run_dir / "old.zarr")
    support.write_rows(
        config, "survey", flux, {"id": np.array([f"{row:02d}" for row in range(48)]), "snr": np.full(48, 50.0)}
    )
    (path,) = predict(config)
    table, limits = Table.read(path), read_limits(config.run_dir / "predictions" / "limits.json", 3)
    unlike = (table["flags"] & Flag.UNLIKE_TRAINING) != 0
    np.testing.assert_array_equal(unlike, table["feature_distance"] > limits.distance)
    assert unlike[40:].all()
    assert float(table.meta["FEATLIM"]) == pytest.approx(limits.distance, rel=1e-5)
    share = np.stack([(table[f"{n}_epistemic"] / table[f"{n}_err_raw"]) ** 2 for n in support.LABELS], axis=1)
    disagree = (table["flags"] & Flag.LARGE_EPISTEMIC) != 0
    np.testing.assert_array_equal(disagree, (share > limits.epistemic_share).any(axis=1))


def test_new_limits_of_sigma_flag_anew_without_predicting_again(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    before = Table.read(path)
    limit = float(np.median(before["feh_err"]))
    units = {file: file.stat().st_mtime_ns for file in (config.run_dir / "predictions" / "survey").glob("unit-*")}
    assert not (before["flags"] & Flag.LARGE_SIGMA).any()
    cut = config.evaluate.model_copy(update={"sigma_limits": {"feh": limit}})
    predict(config.model_copy(update={"evaluate": cut}))
    after = Table.read(path)
    np.testing.assert_array_equal((after["flags"] & Flag.LARGE_SIGMA) != 0, before["feh_err"] > limit)
    np.testing.assert_array_equal(after["flags"] & ~Flag.LARGE_SIGMA, before["flags"])
    assert units == {file: file.stat().st_mtime_ns for file in units}


def test_members_of_an_earlier_version_predict_as_before_without_distances(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    before = Table.read(path)
    support.write_member(config, 1, features=False)
    predict(config)
    after = Table.read(path)
    np.testing.assert_array_equal(after["teff"], before["teff"])
    assert np.isnan(fits.getdata(path)["feature_distance"]).all()  # a Table would mask them
    assert after.meta["FEATLIM"] == "none"
    assert not (after["flags"] & Flag.UNLIKE_TRAINING).any()
    log = (config.run_dir / "logs" / "predict.log").read_text()
    assert log.count("no row is flagged UNLIKE_TRAINING") == 1
