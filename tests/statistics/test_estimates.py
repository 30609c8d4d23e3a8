"""Estimates against closed forms; tolerances are four standard errors of the test itself."""

import numpy as np
import pytest

from starnet_hpc import statistics
from tests.evaluate.fake_run import generator


def test_error_of_a_mean_is_that_of_independent_values() -> None:
    values = generator(1, 1).standard_normal(400)
    found = statistics.mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / 20)


def test_error_of_a_mean_allows_for_clusters() -> None:
    # 50 clusters of 20 values that are nearly the same: 50 independent values, not 1000.
    common = np.repeat(generator(1, 2).standard_normal(50), 20)
    values = common + 1e-6 * generator(1, 3).standard_normal(1000)
    clusters = np.repeat(np.arange(50), 20)
    assert statistics.mean(values, clusters).error == pytest.approx(common.std() / np.sqrt(49), rel=0.02)
    assert statistics.mean(values).error < 0.3 * statistics.mean(values, clusters).error


def test_clusters_never_make_an_error_smaller() -> None:
    values = np.tile([1.0, -1.0], 50)  # every cluster sums to zero
    clusters = np.repeat(np.arange(50), 2)
    assert statistics.mean(values, clusters).error == statistics.mean(values).error


def test_error_of_a_median_is_that_of_the_asymptotic_formula() -> None:
    # A Gaussian sample's median has the standard error 1.2533 / sqrt(n); that error is itself known to about 10 %.
    errors = [statistics.median(generator(2, k).standard_normal(2000)).error for k in range(20)]
    assert np.mean(errors) == pytest.approx(1.2533 / np.sqrt(2000), rel=0.1)


def test_quoted_error_of_a_median_is_its_scatter() -> None:
    found = [statistics.median(generator(3, k).exponential(size=300)) for k in range(400)]
    scatter = np.std([estimate.value for estimate in found])
    assert np.mean([estimate.error for estimate in found]) == pytest.approx(scatter, rel=0.15)


def test_robust_std_of_a_gaussian_is_its_sigma() -> None:
    found = statistics.robust_std(3.0 * generator(4, 1).standard_normal(20_000) + 100.0)
    assert found.value == pytest.approx(3.0, abs=4 * found.error)
    assert found.error < 0.05


def test_share_has_the_binomial_error_and_never_none() -> None:
    half = statistics.share(np.arange(400) < 200)
    assert half.value == 50.0
    assert half.error == pytest.approx(100 * 0.5 / 20, rel=0.01)
    assert statistics.share(np.ones(50, dtype=bool)).error > 0.5


def test_rms_and_std_of_known_numbers() -> None:
    values = np.array([3.0, -4.0, 3.0, -4.0])
    assert statistics.rms(values).value == pytest.approx(np.sqrt(12.5))
    assert statistics.std(values).value == pytest.approx(3.5)


@pytest.mark.parametrize("estimator", [statistics.mean, statistics.median, statistics.robust_std, statistics.std])
def test_nothing_is_claimed_of_no_values(estimator: object) -> None:
    assert callable(estimator)
    assert np.isnan(estimator(np.empty(0))).all()
