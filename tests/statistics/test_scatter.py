import numpy as np
import pytest

from starnet_hpc.statistics import population


def test_mean_and_scatter_of_a_population_are_recovered_with_errors_of_the_right_size() -> None:
    generator = np.random.Generator(np.random.Philox(5))
    pulls = []
    for _ in range(120):
        sigma = generator.uniform(0.02, 0.2, 60)
        values = -1.2 + 0.08 * generator.standard_normal(60) + sigma * generator.standard_normal(60)
        found = population(values, sigma)
        pulls.append([(found.mean.value + 1.2) / found.mean.error, (found.scatter.value - 0.08) / found.scatter.error])
    mean, scatter = np.array(pulls).T
    # Of 120 pulls, mean and standard deviation are known to 0.09 and 0.07; the scatter's are not quite Gaussian.
    assert abs(mean.mean()) < 0.25
    assert 0.85 < mean.std() < 1.2
    assert abs(scatter.mean()) < 0.35
    assert 0.75 < scatter.std() < 1.3


def test_without_scatter_the_mean_is_weighted_by_the_errors_alone() -> None:
    values, sigmas = np.array([1.0, 1.1, 0.95]), np.array([0.1, 0.2, 0.1])
    found = population(values, sigmas)
    assert found.scatter.value == 0.0
    assert found.mean.value == pytest.approx(np.average(values, weights=sigmas**-2.0))
    assert found.mean.error == pytest.approx((sigmas**-2.0).sum() ** -0.5)
    assert 0.0 < found.scatter.error < found.scatter_limit


def test_scatter_far_above_the_errors_is_the_standard_deviation() -> None:
    values = np.linspace(-1.0, 1.0, 41)
    found = population(values, np.full(41, 1e-4))
    assert found.scatter.value == pytest.approx(values.std(), rel=1e-4)
    assert found.scatter.error == pytest.approx(values.std() / np.sqrt(2 * 41), rel=0.1)


@pytest.mark.parametrize(("scatter", "lowest", "highest"), [(0.1, 0.90, 0.98), (0.03, 0.97, 1.0)])
def test_the_limit_of_the_scatter_holds_as_often_as_it_says(scatter: float, lowest: float, highest: float) -> None:
    """More often where a scatter of zero is as likely, since the likelihood knows nothing below zero."""
    generator = np.random.Generator(np.random.Philox(60))
    draws = 0.1 * generator.standard_normal((300, 60)) + scatter * generator.standard_normal((300, 60))
    held = np.mean([population(values, np.full(60, 0.1)).scatter_limit > scatter for values in draws])
    assert lowest <= held <= highest  # binomial error: 0.014; 60 stars are a little few for a likelihood ratio


def test_one_star_and_none() -> None:
    one = population(np.array([-0.5]), np.array([0.1]))
    assert one.mean == (-0.5, 0.1)
    assert np.isnan(one.scatter.value)
    assert np.isnan(population(np.array([]), np.array([])).mean.value)
