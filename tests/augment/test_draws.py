"""What is drawn for a row: keyed, uniform, in range, and from templates of its own split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from starnet_hpc.augment.draws import SPLITS, draw, split_templates
from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import GridFormatError
from starnet_hpc.kernels.random import permutation, stream

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


def test_training_without_noise_takes_it_from_train_and_valid_alone() -> None:
    noiseless, usual = AugmentConfig(noise_max_train=0.0), AugmentConfig()
    for name in ("train", "valid"):
        assert not draw(0, name, np.arange(3), 5, noiseless).noise.any()
    for name in ("test", "survey"):
        one, other = (draw(0, name, np.arange(3), 5, config) for config in (noiseless, usual))
        assert np.array_equal(one.noise, other.noise)
        assert one.noise.all()


def test_a_row_has_the_same_draws_however_many_rows_there_are(draws: dict[str, np.ndarray]) -> None:
    fewer = draw(7, "train", np.arange(100), 100, AugmentConfig())
    assert all(np.array_equal(getattr(fewer, name), draws[name][:100]) for name in DRAWN)


def test_splits_and_seeds_have_draws_of_their_own() -> None:
    found = [draw(seed, name, np.arange(9), 50, AugmentConfig()) for seed in (1, 2) for name in SPLITS]
    for name in DRAWN:
        assert np.unique(np.concatenate([getattr(one, name) for one in found])).size == 6 * 50


@settings(max_examples=100, deadline=None)
@given(
    weight=st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0, 40.0]), min_size=1, max_size=40),
    rows=st.integers(1, 800),
    seed=st.integers(0, 1000),
)
def test_templates_are_used_as_often_as_their_weights_say(weight: list[float], rows: int, seed: int) -> None:
    weights = np.array(weight)
    used = draw(seed, "train", np.arange(weights.size), rows, AugmentConfig(), weights).template
    counts = np.bincount(used, minlength=weights.size)
    quota = rows * weights / weights.sum()
    assert np.abs(counts - quota).max() < 1.0 + 1e-6
    for one in set(weight):  # equal weights, equal use
        same = counts[weights == one]
        assert same.max() - same.min() <= 1


def test_weights_that_divide_the_rows_are_kept_exactly() -> None:
    weights = np.array([1.0, 1.0, 3.0, 1.0, 2.5, 0.5])
    used = draw(3, "valid", np.arange(10, 16), 900, AugmentConfig(), weights).template
    assert np.bincount(used - 10).tolist() == [100, 100, 300, 100, 250, 50]


@pytest.mark.parametrize("rows", [50, 100, 117])
def test_equal_weights_give_the_draws_of_a_grid_without_weights(rows: int) -> None:
    own = np.arange(200, 250)
    in_turns = own[np.arange(rows) % own.size][permutation(stream(5, "augment", "test", "template"), rows)]
    for weights in (None, np.ones(50), np.full(50, 0.3)):
        assert np.array_equal(draw(5, "test", own, rows, AugmentConfig(), weights).template, in_turns)


def test_heavy_templates_are_spread_over_the_store() -> None:
    weights = np.ones(50)
    weights[7] = 50.0
    places = np.flatnonzero(draw(1, "train", np.arange(50), 9900, AugmentConfig(), weights).template == 7)
    assert places.size == 5000
    # Shuffled: the mean place of half the rows scatters by 9900 / sqrt(12 x 5000) x sqrt(1/2) = 29.
    assert abs(places.mean() - 4950) < 130
