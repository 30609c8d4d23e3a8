"""What is drawn for a row: keyed, uniform, in range, and from templates of its own split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from starnet_hpc.augment.draws import SPLITS, draw, split_templates
from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import GridFormatError

ROWS = 20_000
DRAWN = {"vsini": (0.0, 50.0), "vrad": (-150.0, 150.0), "epsilon": (0.0, 1.0), "noise": (0.0, 0.07)}


@pytest.fixture(scope="module")
def draws() -> dict[str, np.ndarray]:
    found = draw(7, "train", np.arange(100), ROWS, AugmentConfig())
    return {name: getattr(found, name) for name in ("template", "snr", *DRAWN)}


fractions = st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)


@settings(max_examples=200, deadline=None)
@given(count=st.integers(3, 400), test=fractions, valid=fractions, seed=st.integers(0, 2**63 - 1))
def test_every_template_is_in_exactly_one_split_and_no_split_is_empty(
    count: int, test: float, valid: float, seed: int
) -> None:
    parts = split_templates(seed, count, AugmentConfig(test_fraction=test, valid_fraction=valid))
    assert set(parts) == set(SPLITS)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))
    assert all(part.size for part in parts.values())


def test_splits_have_the_papers_shares() -> None:
    parts = split_templates(0, 1000, AugmentConfig())
    assert {name: part.size for name, part in parts.items()} == {"test": 200, "valid": 80, "train": 720}


def test_splits_are_drawn_by_the_seed() -> None:
    one, same, other = (split_templates(seed, 100, AugmentConfig())["test"].tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_too_few_templates_for_three_splits_are_refused() -> None:
    with pytest.raises(GridFormatError, match="has 2 templates; at least 3 are needed"):
        split_templates(0, 2, AugmentConfig())


@settings(max_examples=50, deadline=None)
@given(templates=st.integers(1, 60), rows=st.integers(1, 500), seed=st.integers(0, 1000))
def test_templates_are_used_equally_often(templates: int, rows: int, seed: int) -> None:
    own = np.arange(1000, 1000 + templates)
    counts = np.unique_counts(draw(seed, "train", own, rows, AugmentConfig()).template).counts
    assert counts.max() - (counts.min() if counts.size == templates else 0) <= 1


def test_the_order_of_templates_is_shuffled(draws: dict[str, np.ndarray]) -> None:
    template = draws["template"].astype(float)
    # Correlations of independent numbers scatter by 1/sqrt(rows) = 0.007; five times that.
    assert abs(np.corrcoef(template[:-1], template[1:])[0, 1]) < 0.035
    assert abs(np.corrcoef(template, np.arange(ROWS))[0, 1]) < 0.035


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_uniform_in_their_range(draws: dict[str, np.ndarray], name: str) -> None:
    low, high = DRAWN[name]
    values = draws[name]
    assert values.min() >= np.float32(low)
    assert values.max() <= np.float32(high)
    # The seed is fixed, so that this passes or fails for ever; a good generator fails at one seed of a thousand.
    assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


def test_draws_of_one_row_are_independent_of_each_other_and_of_the_next_row(draws: dict[str, np.ndarray]) -> None:
    values = np.stack([draws[name] for name in DRAWN] + [np.roll(draws[name], 1) for name in DRAWN])
    correlation = np.corrcoef(values) - np.eye(8)
    assert np.abs(correlation).max() < 0.035  # five times 1/sqrt(rows)


def test_no_two_rows_share_a_draw(draws: dict[str, np.ndarray]) -> None:
    # float32 keeps about 2^23 different values in a range, so that some coincidences are due, in one number of four.
    rows = np.stack([draws[name] for name in DRAWN], axis=1)
    assert np.unique(rows, axis=0).shape == (ROWS, 4)


def test_the_snr_is_one_over_the_noise(draws: dict[str, np.ndarray]) -> None:
    assert np.array_equal(draws["snr"], np.float32(1.0) / draws["noise"])


def test_a_spectrum_without_noise_has_an_infinite_snr() -> None:
    assert np.isinf(draw(0, "train", np.arange(3), 5, AugmentConfig(noise_max=0.0)).snr).all()


def test_a_row_has_the_same_draws_however_many_rows_there_are(draws: dict[str, np.ndarray]) -> None:
    fewer = draw(7, "train", np.arange(100), 100, AugmentConfig())
    assert all(np.array_equal(getattr(fewer, name), draws[name][:100]) for name in DRAWN)


def test_splits_and_seeds_have_draws_of_their_own() -> None:
    found = [draw(seed, name, np.arange(9), 50, AugmentConfig()) for seed in (1, 2) for name in SPLITS]
    for name in DRAWN:
        assert np.unique(np.concatenate([getattr(one, name) for one in found])).size == 6 * 50
