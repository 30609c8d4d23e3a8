"""Tables of accuracy against closed forms."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.evaluate import calibration, coverage, distributions, doubts, nuisances, residuals
from starnet_hpc.evaluate.sample import ALL, LabelColumns, Sample, snr_bins
from tests.evaluate.fake_run import generator

BINS = snr_bins((0.0, 30.0, 80.0, 150.0))


def gaussian_sample(
    n: int = 4000, *, sigma: float = 50.0, claimed: float = 50.0, bias: float = 0.0, error: float | None = None
) -> Sample:
    """Teff with Gaussian errors of `sigma`, of which the network claims `claimed`."""
    truth = generator(11, 1).uniform(4000, 7000, n)
    value = truth + bias + sigma * generator(11, 2).standard_normal(n)
    snr = generator(11, 3).uniform(10, 300, n)
    return sample_of(value, np.full(n, claimed), truth, snr, error)


def sample_of(
    value: NDArray[np.float64],
    sigma: NDArray[np.float64],
    truth: NDArray[np.float64],
    snr: NDArray[np.float64],
    error: float | None = None,
) -> Sample:
    columns = LabelColumns(value, sigma, 0.8 * sigma, 0.6 * sigma)
    published = {} if error is None else {"teff": np.full(truth.size, error)}
    return Sample({"teff": columns}, {"teff": truth}, published, snr)


def test_right_sigmas_cover_68_and_95_per_cent_within_the_binomial_error() -> None:
    row = coverage.by_snr("t", "c", gaussian_sample(), BINS).first(snr=ALL)
    assert row is not None
    for share, expected in (("coverage_68", 68.27), ("coverage_95", 95.45)):
        error = float(row[f"{share}_error"])
        assert error == pytest.approx(100 * np.sqrt(expected * (100 - expected) / 1e4 / 4000), rel=0.1)
        assert float(row[share]) == pytest.approx(expected, abs=4 * error)
    assert float(row["pull_mean"]) == pytest.approx(0.0, abs=4 / np.sqrt(4000))
    assert float(row["pull_std"]) == pytest.approx(1.0, abs=4 / np.sqrt(8000))


def test_a_sigma_twice_too_small_covers_38_per_cent() -> None:
    row = coverage.by_snr("t", "c", gaussian_sample(claimed=25.0), BINS).first(snr=ALL)
    assert row is not None
    assert float(row["coverage_68"]) == pytest.approx(38.29, abs=4 * float(row["coverage_68_error"]))
    assert float(row["pull_robust_std"]) == pytest.approx(2.0, abs=4 * float(row["pull_robust_std_error"]))


def test_the_error_of_a_published_label_counts_in_pulls() -> None:
    # The truth is off by 50 K, too: residuals scatter by sqrt(2) * 50 K.
    sample = gaussian_sample(sigma=50.0 * np.sqrt(2.0), error=50.0)
    row = coverage.by_snr("t", "c", sample, BINS).first(snr=ALL)
    assert row is not None
    assert float(row["pull_std"]) == pytest.approx(1.0, abs=0.05)


def test_median_absolute_residual_of_a_gaussian_is_0_6745_sigma() -> None:
    table = residuals.by_snr("t", "c", gaussian_sample(bias=0.0), BINS, {"teff": 800.0})
    row = table.first(label="teff", snr=ALL)
    assert row is not None
    assert float(row["median_absolute"]) == pytest.approx(0.6745 * 50, abs=4 * float(row["median_absolute_error"]))
    assert float(row["robust_std"]) == pytest.approx(50, abs=4 * float(row["robust_std_error"]))
    assert float(row["percent_of_std"]) == pytest.approx(float(row["median_absolute"]) / 8.0)
    assert sum(int(row["n"]) for row in table.rows if row["snr"] != ALL) == 4000


def test_a_bias_shows_in_the_median_and_not_in_the_scatter() -> None:
    row = residuals.by_snr("t", "c", gaussian_sample(bias=200.0), BINS, {"teff": 800.0}).first(snr=ALL)
    assert row is not None
    assert float(row["median"]) == pytest.approx(200.0, abs=4 * float(row["median_error"]))
    assert float(row["robust_std"]) == pytest.approx(50.0, abs=4 * float(row["robust_std_error"]))


def test_failed_rows_are_counted_and_not_silently_dropped() -> None:
    sample = gaussian_sample(400)
    sample.predicted["teff"].value[:7] = np.nan
    sample.predicted["teff"].sigma[7:10] = 0.0
    row = residuals.by_snr("t", "c", sample, BINS, {"teff": 800.0}).first(snr=ALL)
    assert row is not None
    assert (row["n"], row["n_failed"]) == (390, 10)


def test_rows_of_unknown_snr_have_a_bin_of_their_own() -> None:
    sample = gaussian_sample(400)
    sample.snr[:25] = np.nan
    table = residuals.by_snr("t", "c", sample, BINS, {"teff": 800.0})
    assert table.distinct("snr") == ["< 30", "30–80", "80–150", "≥ 150", "unknown", ALL]
    row = table.first(snr="unknown")
    assert row is not None
    assert row["n"] == 25


def test_residuals_along_a_label_find_the_bad_end() -> None:
    truth = np.linspace(4000, 7000, 3001)
    wrong = np.where(truth > 6625, 90.0, 30.0) * np.where(np.arange(3001) % 2, 1.0, -1.0)
    sample = sample_of(truth + wrong, np.full(3001, 30.0), truth, np.full(3001, 200.0))
    table = residuals.along_label("t", "c", sample, BINS, {"teff": (4000.0, 7000.0)})
    assert list(table.where(snr=ALL).numbers("median_absolute")) == pytest.approx([30.0] * 7 + [90.0])
    assert table.where(snr=ALL).numbers("n").sum() == 3001


def test_kinds_of_stars_are_those_of_the_paper() -> None:
    labels = {"logg": np.array([4.4, 2.0, 4.4, np.nan, np.nan]), "feh": np.array([0.0, 0.0, -1.0, -2.0, 0.0])}
    assert list(residuals.kinds(labels)) == ["metal-rich dwarf", "metal-rich giant", "metal-poor", "metal-poor", ""]


def test_cells_of_predicted_against_true_hold_every_spectrum() -> None:
    sample = gaussian_sample(3000, sigma=2000.0)  # many predictions beyond the axes
    table = distributions.predicted_against_true("t", "c", sample, {"teff": (4000.0, 7000.0)})
    assert table.numbers("n").sum() == 3000


def test_pulls_beyond_the_histogram_are_in_its_outermost_bins() -> None:
    table = coverage.pull_histogram("t", "c", gaussian_sample(2000, claimed=5.0))
    assert table.numbers("n").sum() == 2000
    assert table.numbers("n")[[0, -1]].min() > 500


def test_right_sigmas_hold_what_every_interval_should_hold() -> None:
    curve = calibration.curve("t", "c", gaussian_sample(), BINS)
    excess, error = (curve.where(snr=ALL).numbers(key) for key in ("excess", "coverage_error"))
    assert excess.size == len(calibration.NOMINAL)
    assert np.abs(excess / error).max() < 4
    # Half the sigma: an interval of p holds 2 Phi(z(p) / 2) - 1.
    narrow = calibration.curve("t", "c", gaussian_sample(claimed=25.0), BINS).first(snr=ALL, nominal=95)
    assert narrow is not None
    assert float(narrow["coverage"]) == pytest.approx(67.29, abs=4 * float(narrow["coverage_error"]))


def test_places_of_truths_lean_to_the_side_that_a_bias_leaves_them_on() -> None:
    # Predictions too high by two sigma: truths lie in the lower part of what was predicted.
    place = calibration.pit("t", "c", gaussian_sample(bias=100.0), BINS).where(snr=ALL)
    assert place.numbers("percent").sum() == pytest.approx(100.0)
    lowest, highest = place.rows[0], place.rows[-1]
    assert float(lowest["percent"]) == pytest.approx(63.88, abs=4 * float(lowest["percent_error"]))  # Phi(2 - 1.645)
    assert float(highest["percent"]) < 0.3
    flat = calibration.pit("t", "c", gaussian_sample(), BINS).where(snr=ALL)
    assert np.abs((flat.numbers("percent") - 5) / flat.numbers("percent_error")).max() < 4


def test_scores_are_those_of_a_gaussian() -> None:
    right, wide = (
        calibration.scores("t", "c", gaussian_sample(claimed=claimed), BINS).first(snr=ALL) or {}
        for claimed in (50.0, 100.0)
    )
    # The mean CRPS of right predictions is sigma / sqrt(pi) (Gneiting & Raftery 2007, eq. 21).
    assert float(right["crps"]) == pytest.approx(50 / np.sqrt(np.pi), abs=4 * float(right["crps_error"]))
    assert float(right["crps_ratio"]) == pytest.approx(1.0, abs=4 * float(right["crps_ratio_error"]))
    assert float(right["sharpness"]) == 50.0
    assert float(right["pit_distance"]) < 3 * float(right["pit_chance"])
    assert float(wide["crps"]) > float(right["crps"]) + 4 * float(right["crps_error"])
    assert float(wide["pit_distance"]) > 5 * float(wide["pit_chance"])


def test_a_label_that_hangs_on_rotation_shows_and_is_told_of() -> None:
    sample = gaussian_sample()
    vsini = generator(11, 4).uniform(0, 50, len(sample))
    columns = sample.predicted["teff"]
    moved = LabelColumns(columns.value + np.where(vsini > 43.75, 60.0, 0.0), *(columns.sigma,) * 3)
    sample = dataclasses.replace(sample, predicted={"teff": moved}, nuisances={"vsini": vsini, "vrad": 0.0 * vsini})
    found = nuisances.residuals("t", "c", sample)
    assert found.distinct("nuisance") == ["vsini"]  # velocities are all the same
    shift, error = found.numbers("median"), found.numbers("median_error")
    assert found.numbers("n").sum() == len(sample)
    assert shift[-1] == pytest.approx(60.0, abs=4 * error[-1])
    assert np.abs(shift[:-1] / error[:-1]).max() < 4
    (told,) = doubts.drifting(residuals.by_snr("t", "c", sample, BINS, {"teff": 900.0}), found, ["teff"])
    assert told.startswith("At v sin i 43.")
    assert "Teff too high by " in told


def test_a_sigma_that_does_not_follow_signal_to_noise_is_told_of() -> None:
    sample = gaussian_sample()
    sigma = sample.predicted["teff"].sigma
    assert not doubts.uneven(coverage.by_snr("t", "c", sample, BINS), ["teff"])
    wrong = np.where(sample.snr < 30, 0.8, np.where(sample.snr >= 150, 1.2, 1.0)) * sigma
    value = sample.predicted["teff"].value
    sample = dataclasses.replace(sample, predicted={"teff": LabelColumns(value, wrong, wrong, wrong)})
    (found,) = doubts.uneven(coverage.by_snr("t", "c", sample, BINS), ["teff"])
    assert found.label == "teff"
    assert found.noisy < 62 < 73 < found.quiet
    assert found.bins == ("< 30", "≥ 150")
