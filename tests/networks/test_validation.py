"""The scores of each label, on predictions whose faults are known."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from starnet_hpc.networks.validation import CONVENTIONS, Judged, label_scores
from starnet_hpc.statistics import ONE_SIGMA, TWO_SIGMA

ROWS = 20_000
NAMES = ("teff", "feh")
TRUE_SIGMA = np.array([50.0, 0.04])


def judged(*claimed: float, rows: int = ROWS, templates: int = 1000) -> Judged:
    """Predictions with Gaussian errors; sigma is claimed so many times too large."""
    generator = np.random.default_rng(12)
    truth = generator.uniform([4000, -2], [7000, 0.5], size=(rows, 2))
    mean = truth + TRUE_SIGMA * generator.standard_normal((rows, 2))
    return Judged(mean, np.tile(TRUE_SIGMA * claimed, (rows, 1)), truth, np.arange(rows) % templates)


def scores(found: Judged) -> dict[str, dict[str, object]]:
    return label_scores(NAMES, found, np.log(found.sigma) + 0.5 * found.pull**2)


def test_right_sigmas_have_the_scores_of_a_gaussian() -> None:
    for (name, found), sigma in zip(scores(judged(1, 1)).items(), TRUE_SIGMA, strict=True):
        # 20,000 draws: standard errors are below 0.7 % of each of these.
        assert found["median_absolute"] == pytest.approx(sigma * norm.ppf(0.75), rel=0.03), name
        assert found["crps"] == pytest.approx(sigma / np.sqrt(np.pi), rel=0.03)
        assert found["nll"] == pytest.approx(np.log(sigma) + 0.5, abs=0.03)
        for factor in ("temperature", "one_sigma_factor"):
            assert found[factor] == pytest.approx(1, abs=4 * found[f"{factor}_error"])
        for share, expected in (("coverage_68", ONE_SIGMA), ("coverage_95", TWO_SIGMA)):
            assert found[share] == pytest.approx(100 * expected, abs=4 * found[f"{share}_error"])
        np.testing.assert_allclose(found["pit"], 0.1, atol=4 * np.sqrt(0.09 / ROWS))
        assert sum(found["pit"]) == pytest.approx(1)
        assert found["pit_distance"] < 1.95 / np.sqrt(ROWS)  # in 99.9 % of all cases


def test_the_temperature_mends_the_coverage_and_leaves_the_claims_alone() -> None:
    found = scores(judged(0.5, 2.0))
    small, large = found["teff"], found["feh"]
    assert (small["temperature"], large["temperature"]) == (pytest.approx(2, rel=0.03), pytest.approx(0.5, rel=0.03))
    assert small["coverage_68"] == pytest.approx(100 * (2 * norm.cdf(0.5) - 1), abs=1.5)
    assert large["coverage_68"] == pytest.approx(100 * TWO_SIGMA, abs=1.5)
    for label in (small, large):
        assert label["coverage_68_tempered"] == pytest.approx(100 * ONE_SIGMA, abs=1.5)
        assert label["coverage_95_tempered"] == pytest.approx(100 * TWO_SIGMA, abs=1.5)
    # Too small sigmas: truths crowd at the ends of what was predicted; too large ones: in the middle.
    assert small["pit"][0] > 0.2 > 0.05 > large["pit"][0]


def test_places_of_another_distribution_than_a_gaussian_are_taken_as_they_are() -> None:
    found, place = judged(1, 1), np.tile(np.linspace(0, 1, ROWS)[:, None] ** 2, (1, 2))
    told = label_scores(NAMES, found, found.pull, place)["feh"]
    assert told["pit"][0] == pytest.approx(np.sqrt(0.1), abs=1e-3)
    assert told["pit_distance"] == pytest.approx(0.25, abs=1e-3)  # of x and sqrt(x)


def test_few_templates_tell_no_error_and_what_comes_out_is_still_json() -> None:
    found = scores(judged(1, 1, rows=20, templates=2))
    assert found["teff"]["temperature_error"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_score_is_explained_in_the_file_itself() -> None:
    explained = " ".join(CONVENTIONS)
    plain = {name.removesuffix("_error").removesuffix("_tempered") for name in scores(judged(1, 1))["teff"]}
    assert {name for name in plain if name not in explained} == {"unit", "median_absolute"}
