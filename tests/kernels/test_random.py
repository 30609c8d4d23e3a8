"""Philox is Philox, its numbers are what they say, and a row's numbers depend on nothing but its key."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet_hpc.kernels.random import normals, open_unit, permutation, philox, stream, uniforms

KEY = stream(1, "tests")
PIXELS = 39_436
FIRST_STREAM = (756764351, 3715115420)
FIRST_NORMALS = [-0.411888062953949, 0.7644240856170654, 0.9109547734260559, 1.1680797338485718]

# kat_vectors of the Random123 distribution (Salmon et al. 2011): counter, key, result of philox4x32-10.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> NDArray[np.uint32]:
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint32)


@pytest.fixture(scope="module")
def ten_million() -> NDArray[np.float32]:
    rows = [normals(KEY, row, PIXELS) for row in range(254)]
    return np.concatenate(rows)[:10_000_000]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_answers_published_with_it(counter: str, key: str, answer: str) -> None:
    # Among others, so that vectorised loops and their remainders are both tried.
    block = np.repeat(words(counter)[:, None], 37, axis=1)
    philox(block, *words(key))
    np.testing.assert_array_equal(block, np.repeat(words(answer)[:, None], 37, axis=1))


def test_moments_of_ten_million_normals_are_those_of_a_normal(ten_million: NDArray[np.float32]) -> None:
    x = ten_million.astype(np.float64)
    # Standard errors of the mean of x^k: sqrt(var(x^k) / n), with var = (2k-1)!! - ((k-1)!!)^2 (k even).
    moment = np.ones_like(x)
    for power, (expected, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96), (0, 945), (15, 10_170)], start=1):
        moment *= x
        deviation = (moment.mean() - expected) / np.sqrt(variance / x.size)
        assert abs(deviation) < 4, power


def test_ten_million_normals_pass_kolmogorov_and_smirnov(ten_million: NDArray[np.float32]) -> None:
    expected = scipy.special.ndtr(np.sort(ten_million))
    found = np.arange(ten_million.size + 1) / ten_million.size
    distance = max((expected - found[:-1]).max(), (found[1:] - expected).max())
    assert scipy.stats.kstwobign.sf(distance * np.sqrt(ten_million.size)) > 1e-3


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.0, 5.0])
def test_tails_hold_as_many_normals_as_they_should(ten_million: NDArray[np.float32], sigma: float) -> None:
    expected = ten_million.size * scipy.stats.norm.sf(sigma)
    for count in (np.count_nonzero(ten_million > sigma), np.count_nonzero(ten_million < -sigma)):
        # Poisson: a 1e-5 chance on either side.
        assert scipy.stats.poisson.sf(count - 1, expected) > 1e-5
        assert scipy.stats.poisson.cdf(count, expected) > 1e-5


def test_normals_stay_finite_and_within_the_reach_of_32_bits(ten_million: NDArray[np.float32]) -> None:
    assert np.isfinite(ten_million).all()
    assert np.abs(ten_million).max() <= np.sqrt(2 * 33 * np.log(2)) * (1 + 1e-6)  # the smallest uniform is 2^-33


def test_normals_of_neighbouring_rows_and_streams_are_independent() -> None:
    other = stream(1, "tests", "other")
    a = np.stack([normals(KEY, row, PIXELS) for row in range(12)] + [normals(other, row, PIXELS) for row in range(12)])
    correlation = np.corrcoef(a.astype(np.float64))[np.triu_indices(24, 1)] * np.sqrt(PIXELS)
    # 276 pairs, each a standard normal: the largest passes 4.5 once in 500 trials (these are always the same ones).
    assert np.abs(correlation).max() < 4.5
    assert scipy.stats.kstest(correlation, "norm").pvalue > 1e-3


def test_normals_of_neighbouring_pixels_are_independent(ten_million: NDArray[np.float32]) -> None:
    x = ten_million.astype(np.float64)
    for lag in (1, 2, 255, 256, 512, 768, 1024):  # blocks of 256 counters, four numbers each
        for power in (1, 2):
            y = x**power - (power - 1)
            correlation = (y[:-lag] * y[lag:]).mean() / (y * y).mean()
            assert abs(correlation) * np.sqrt(x.size) < 4, (lag, power)


@settings(max_examples=50, deadline=None)
@given(row=st.integers(0, 2**63 - 1), count=st.integers(1, 5000), longer=st.integers(0, 5000))
def test_a_row_begins_with_the_same_normals_however_many_are_asked_for(row: int, count: int, longer: int) -> None:
    np.testing.assert_array_equal(normals(KEY, row, count), normals(KEY, row, count + longer)[:count])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), count=st.integers(1, 9), longer=st.integers(0, 9))
def test_uniforms_of_a_row_do_not_depend_on_the_other_rows(seed: int, n: int, count: int, longer: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 2**62, n)
    together = uniforms(KEY, rows, count + longer)
    assert together.shape == (n, count + longer)
    for place in range(n):
        np.testing.assert_array_equal(uniforms(KEY, rows[place : place + 1], count)[0], together[place, :count])


def test_rows_beyond_32_bits_differ_from_those_below() -> None:
    rows = np.array([5, 5 + 2**32, 5 + 2**33])
    assert np.unique(uniforms(KEY, rows, 1)).size == 3
    assert not np.array_equal(normals(KEY, 5, 100), normals(KEY, 5 + 2**32, 100))


def test_uniforms_are_uniform() -> None:
    x = uniforms(KEY, np.arange(250_000), 4)
    for column in range(4):
        assert scipy.stats.kstest(x[:, column], "uniform").pvalue > 1e-3
    correlation = np.corrcoef(x.T)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() * np.sqrt(len(x)) < 4
    assert abs(np.corrcoef(x[:-1, 0], x[1:, 0])[0, 1]) * np.sqrt(len(x)) < 4


def test_uniforms_lie_strictly_between_0_and_1_whatever_the_bits() -> None:
    lowest, highest = open_unit(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert lowest == 2.0**-53
    assert highest == 1 - 2.0**-53


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_a_permutation_holds_every_number_once(size: int) -> None:
    order = permutation(KEY, size)
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_every_order_of_a_permutation_is_equally_likely() -> None:
    orders = [permutation(stream(seed, "order"), 4) for seed in range(4800)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert counts.size == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_streams_differ_by_each_of_their_names_and_never_change() -> None:
    keys = {stream(1, "a", "b"), stream(2, "a", "b"), stream(1, "a"), stream(1, "b", "a"), stream(1, "a", 1)}
    assert len(keys) == 5
    # Stores written by earlier versions are regenerated from these: a change here is a change of format.
    assert stream(1, "augment", "train", "noise") == FIRST_STREAM
    np.testing.assert_array_equal(normals((1, 2), 3, 4), np.float32(FIRST_NORMALS))
