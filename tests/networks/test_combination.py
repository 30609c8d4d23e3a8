"""The ensemble's mean and variance (Bialek et al. 2020, eqs 2-3)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from starnet_hpc.networks import Moments, combined, correlations, label_pairs, merge, moments

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)  # which have fewer digits than 1e-12 asks for
VARIANCES = st.floats(1e-9, 1e6)


@st.composite
def ensembles(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    return draw(arrays(np.float64, shape, elements=VALUES)), draw(arrays(np.float64, shape, elements=VARIANCES))


def fold(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)
    return total


def slots(mean: NDArray[np.float64], variance: NDArray[np.float64], members: list[int]) -> Moments:
    """What a rank sends that has these members: their slots filled, all others empty."""
    out = np.zeros((*mean.shape, 4))
    out[members] = moments(mean, variance)[members]
    return out


@given(ensembles())
def test_the_variance_is_the_mean_variance_plus_the_variance_of_the_means(
    ensemble: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    mean, variance = ensemble
    answer = combined(fold(list(moments(mean, variance))))
    count = mean.shape[0]
    for place in np.ndindex(mean.shape[1:]):
        # Exact arithmetic on the same doubles: the law of total variance without rounding.
        mus, variances = ([Fraction(float(v)) for v in each[(slice(None), *place)]] for each in (mean, variance))
        centre = sum(mus) / count
        aleatoric, epistemic = sum(variances) / count, sum((mu - centre) ** 2 for mu in mus) / count
        largest = max(abs(float(mu)) for mu in mus)
        # 1e-12 of the numbers that went in: a rounding of the means moves the spread by as much.
        assert answer.mean[place] == pytest.approx(float(centre), rel=1e-12, abs=1e-12 * largest)
        assert answer.aleatoric[place] ** 2 == pytest.approx(float(aleatoric), rel=1e-12)
        total = float(aleatoric + epistemic)
        assert answer.total[place] ** 2 == pytest.approx(total, rel=1e-12, abs=1e-12 * largest**2 * 1e-3)


def test_members_that_agree_to_a_millikelvin_have_a_positive_variance() -> None:
    # mean(mu^2) - mean(mu)^2 in float32 gave 29 % negative variances here, in the authors' public code.
    generator = np.random.default_rng(3)
    mean = 5000.0 + 1e-3 * generator.standard_normal((7, 2000, 1))
    sigma = np.full_like(mean, 1e-3)
    answer = combined(fold(list(moments(mean, sigma**2))))
    assert (answer.epistemic > 0).all()
    np.testing.assert_allclose(answer.epistemic, mean.std(axis=0), rtol=1e-5)  # 5000 in float64 is known to 1e-12
    np.testing.assert_allclose(answer.total, np.sqrt(1e-6 + mean.var(axis=0)), rtol=1e-5)


def test_one_member_has_no_spread() -> None:
    answer = combined(moments(np.array([[5000.0]]), np.array([[900.0]])))
    assert (answer.mean[0, 0], answer.aleatoric[0, 0], answer.epistemic[0, 0]) == (5000.0, 30.0, 0.0)


@given(ensembles(), st.data())
@settings(max_examples=60)
def test_the_answer_has_the_same_bits_however_members_are_dealt_to_ranks_and_reduced(
    ensemble: tuple[NDArray[np.float64], NDArray[np.float64]], data: st.DataObject
) -> None:
    mean, variance = ensemble
    everyone = list(range(mean.shape[0]))
    owner = data.draw(st.lists(st.integers(0, 3), min_size=len(everyone), max_size=len(everyone)))
    sent = [slots(mean, variance, [m for m in everyone if owner[m] == rank]) for rank in range(4)]
    while len(sent) > 1:  # MPI may merge any two, in either order
        first = sent.pop(data.draw(st.integers(0, len(sent) - 1)))
        second = sent.pop(data.draw(st.integers(0, len(sent) - 1)))
        sent.append(merge(first, second))
    assert sent[0].tobytes() == slots(mean, variance, everyone).tobytes()


@given(ensembles())
def test_an_empty_group_changes_nothing_on_either_side(
    ensemble: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    full = fold(list(moments(*ensemble)))
    empty = np.zeros_like(full)
    assert merge(full, empty).tobytes() == full.tobytes()
    assert merge(empty, full).tobytes() == full.tobytes()
    assert merge(empty, empty).tobytes() == empty.tobytes()


def test_a_row_that_could_not_be_predicted_stays_unknown() -> None:
    bad, good = np.array([[np.nan], [1.0]]), np.array([[2.0], [1.0]])
    answer = combined(fold([moments(bad, bad), moments(good, good)]))
    np.testing.assert_array_equal(np.isnan(answer.total), [[True], [False]])


@given(arrays(np.float64, (5, 2, 3), elements=st.floats(-1e3, 1e3, allow_subnormal=False)))
def test_correlations_between_members_are_pearsons(means: NDArray[np.float64]) -> None:
    found = correlations(means)
    assert found.shape == (2, 3)
    for place, (a, b) in enumerate(label_pairs(3)):
        for row in range(2):
            one, two = means[:, row, a], means[:, row, b]
            if min(np.ptp(one), np.ptp(two)) > 1e-6:  # else all that is left is rounding
                assert found[row, place] == pytest.approx(np.corrcoef(one, two)[0, 1], abs=1e-6)


def test_members_that_do_not_differ_have_no_correlations() -> None:
    assert np.isnan(correlations(np.ones((1, 4, 2)))).all()
    assert np.isnan(correlations(np.ones((3, 4, 2)))).all()
    two = np.array([[[5000.0, 0.1]], [[5010.0, 0.0]]])
    np.testing.assert_allclose(correlations(two), -1.0, rtol=1e-12)
