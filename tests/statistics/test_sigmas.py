"""Factors on sigma and scores of predictions, against closed forms and other implementations."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from starnet_hpc import statistics

ROWS = 20_000


@pytest.fixture(scope="module")
def pulls() -> np.ndarray:
    """Unit Gaussian; twice as wide; with heavy tails."""
    generator = np.random.default_rng(5)
    return np.stack(
        [generator.normal(size=ROWS), 2 * generator.normal(size=ROWS), generator.standard_t(3, ROWS)], axis=1
    )


def test_the_temperature_is_where_the_loss_is_smallest(pulls: np.ndarray) -> None:
    sigma = np.full(ROWS, 0.3)
    for k, found in enumerate(statistics.temperature(pulls)):

        def loss(t: float, k: int = k) -> float:
            return float(statistics.log_likelihood_loss(pulls[:, k] / t, sigma * t))

        best = optimize.minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-8})
        assert found == pytest.approx(best.x, rel=1e-5)


def test_the_two_factors_agree_for_gaussian_errors_and_part_for_heavy_tails(pulls: np.ndarray) -> None:
    likely, holding = statistics.temperature(pulls), statistics.one_sigma_factor(pulls)
    # 20,000 draws: standard errors of 0.5 % and 0.7 %.
    np.testing.assert_allclose(likely[:2], [1, 2], rtol=0.02)
    np.testing.assert_allclose(holding, [1, 2, stats.t(3).ppf(0.5 + statistics.ONE_SIGMA / 2)], rtol=0.03)
    assert likely[2] > 1.3 * holding[2]  # variance 3, of which a few far draws make most


def test_a_jackknife_knows_that_rows_of_one_template_fail_together() -> None:
    generator = np.random.default_rng(6)
    together = np.repeat(generator.normal(size=(400, 1)), 50, axis=0)
    found = statistics.jackknife_error(statistics.temperature, together, np.repeat(np.arange(400), 50))
    # sqrt(mean z^2) of 400 independent values: 1 / sqrt(800). Ten groups tell an error to about 25 %.
    assert found[0] == pytest.approx(1 / np.sqrt(800), rel=0.7)
    apart = statistics.jackknife_error(statistics.temperature, together, np.arange(20_000))
    assert apart[0] < 0.4 * found[0]
    assert np.isnan(statistics.jackknife_error(statistics.temperature, together, np.arange(20_000) % 9)).all()


@pytest.mark.parametrize("pull", [-3.0, 0.0, 0.7])
def test_the_score_is_the_integral_that_defines_it(pull: float) -> None:
    sigmas = np.array([0.5, 2.0])

    def squared_distance(x: float, sigma: float) -> float:
        return float((stats.norm.cdf(x / sigma) - (x >= pull * sigma)) ** 2)

    values = [integrate.quad(squared_distance, -30, 30, args=(s,), points=[pull * s])[0] for s in sigmas]
    found = statistics.crps(np.full((2, 1), pull), sigmas[:, None])
    assert found[0] == pytest.approx(np.mean(values), abs=1e-6)


def test_places_of_right_sigmas_are_uniform_and_wrong_ones_show(pulls: np.ndarray) -> None:
    places = statistics.probability_integral(pulls)
    np.testing.assert_allclose(places, stats.norm.cdf(pulls))
    found = statistics.uniform_distance(places)
    for k, distance in enumerate(found):
        assert distance == pytest.approx(stats.kstest(places[:, k], "uniform").statistic, rel=1e-12)
    assert found[0] < 1.95 / np.sqrt(ROWS)  # in 99.9 % of all cases
    # A Gaussian twice as wide: the largest distance of its distribution from that of a unit Gaussian is 0.162.
    assert found[1] == pytest.approx(0.162, abs=0.01)
