"""StarNet's convolutions and pooling in one pass, against the definition written out in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet_hpc.kernels.pooling import CHANNELS, FILTERS, POOL, TAPS, Filters, pooled, pooled_gradient, pooled_length

Array = NDArray[np.float64]

# Numbers of pixels: what the first block holds and is left over, the borders of blocks (256 pooled pixels, 1,024
# others) with what filters reach across them, and the paper's.
LENGTHS = [18, 21, 22, 100, 1034, 1037, 1038, 1039, 1042, 2062, 2065, 39_436]


def filters(seed: int) -> Filters:
    random = np.random.default_rng(seed)
    shapes = ((CHANNELS, TAPS), (CHANNELS,), (FILTERS, CHANNELS, TAPS), (FILTERS,))
    return Filters(*(0.4 * random.standard_normal(shape, dtype=np.float32) for shape in shapes))


def spectrum(pixels: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(pixels, dtype=np.float32)


def by_definition(flux: NDArray[np.float32], w: Filters) -> tuple[Array, Array, Array]:
    """Return the first filters' output before their ReLU, the second ones' too, and what is pooled; float64."""
    first = np.lib.stride_tricks.sliding_window_view(flux.astype(float), TAPS) @ w.first.T.astype(float)
    first = first.T + w.first_bias[:, None]
    windows = np.lib.stride_tricks.sliding_window_view(np.maximum(first, 0), TAPS, axis=1)
    second = np.einsum("cpk,fck->fp", windows, w.second.astype(float), optimize=True) + w.second_bias[:, None]
    whole = second[:, : second.shape[1] // POOL * POOL]
    return first, second, np.maximum(whole, 0).reshape(FILTERS, -1, POOL).max(axis=2)


def by_kernel(flux: NDArray[np.float32], w: Filters) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    out = np.full((FILTERS, pooled_length(flux.size)), np.nan, np.float32)
    winner = np.full(out.shape, 99, np.uint8)
    pooled(flux, w, out, winner)
    return out, winner


def gradient_by_definition(flux: NDArray[np.float32], w: Filters, given: Array) -> list[Array]:
    """Return the gradients with respect to the weights from that with respect to the pooled pixels; float64."""
    first, second, out = by_definition(flux, w)
    back = np.zeros_like(second)
    whole = second[:, : out.shape[1] * POOL].reshape(*out.shape, POOL)
    chosen = np.eye(POOL)[whole.argmax(axis=2)] * (out > 0)[..., None]
    back[:, : whole.shape[1] * POOL] = (given[..., None] * chosen).reshape(FILTERS, -1)
    hidden = np.maximum(first, 0)
    to_hidden = np.zeros_like(hidden)
    second_weights = np.empty(w.second.shape)
    for k in range(TAPS):
        span = slice(k, k + back.shape[1])
        second_weights[..., k] = back @ hidden[:, span].T
        to_hidden[:, span] += w.second[..., k].astype(float).T @ back
    to_hidden *= first > 0
    first_weights = to_hidden @ np.lib.stride_tricks.sliding_window_view(flux.astype(float), TAPS)
    return [first_weights, to_hidden.sum(axis=1), second_weights, back.sum(axis=1)]


def random_gradient(flux: NDArray[np.float32], w: Filters, seed: int) -> Array:
    """Return a gradient of the pooled pixels, 0 where rounding decides which pixel wins or which ReLU is open."""
    first, second, out = by_definition(flux, w)
    whole = second[:, : out.shape[1] * POOL].reshape(*out.shape, POOL)
    low, high = np.sort(np.concatenate([whole, np.zeros((*out.shape, 1))], axis=2), axis=2)[..., -2:].transpose(2, 0, 1)
    narrow = (np.abs(first) < 1e-5).any(axis=0)
    reached = np.lib.stride_tricks.sliding_window_view(narrow, TAPS + POOL - 1)[::POOL].any(axis=1)[: out.shape[1]]
    random = np.random.default_rng(seed).standard_normal(out.shape)
    return np.where((high - low < 1e-5) | (out > 0) & reached, 0.0, random)


def gradient_by_kernel(flux: NDArray[np.float32], w: Filters, given: Array) -> Filters:
    total = Filters(*(np.zeros_like(weight) for weight in w))
    pooled_gradient(flux, w, given.astype(np.float32), by_kernel(flux, w)[1], total)
    return total


@pytest.mark.parametrize("pixels", LENGTHS)
def test_what_is_pooled_is_what_the_layers_one_after_the_other_give(pixels: int) -> None:
    flux, w = spectrum(pixels, pixels), filters(1)
    expected = by_definition(flux, w)[2]
    out, winner = by_kernel(flux, w)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6 * expected.max())  # sums of 32 products in float32
    alone = np.empty_like(out)
    pooled(flux, w, alone, np.empty((0, 0), np.uint8))
    assert np.array_equal(alone, out), "without the winners, another result"
    assert np.array_equal(winner == POOL, out == 0)


@pytest.mark.parametrize("pixels", LENGTHS)
def test_gradients_are_those_of_the_layers_one_after_the_other(pixels: int) -> None:
    flux, w = spectrum(pixels, pixels), filters(2)
    given = random_gradient(flux, w, 3)
    for got, expected in zip(gradient_by_kernel(flux, w, given), gradient_by_definition(flux, w, given), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@given(pixels=st.integers(18, 3000), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)  # the first example compiles kernels
def test_any_number_of_pixels_gives_the_right_gradient(pixels: int, seed: int) -> None:
    flux, w = spectrum(pixels, seed), filters(seed)
    given = random_gradient(flux, w, seed)
    for got, expected in zip(gradient_by_kernel(flux, w, given), gradient_by_definition(flux, w, given), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_the_gradient_is_the_slope_of_what_is_pooled() -> None:
    """Finite differences of the float64 definition: no formula of a gradient is part of this test."""
    flux, w = spectrum(1500, 5), filters(5)
    given = random_gradient(flux, w, 6)
    found = gradient_by_kernel(flux, w, given)
    random, step = np.random.default_rng(7), 1e-7  # so small that no ReLU opens and no maximum changes on the way
    for name in Filters._fields:
        along = random.standard_normal(getattr(w, name).shape)
        ahead, behind = (
            (by_definition(flux, w._replace(**{name: getattr(w, name) + sign * step * along}))[2] * given).sum()
            for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        assert (getattr(found, name) * along).sum() == pytest.approx(slope, rel=1e-4), name


def test_gradients_are_added_to_what_is_there() -> None:
    flux, w = spectrum(500, 1), filters(1)
    given = np.ones((FILTERS, pooled_length(500)))
    once = gradient_by_kernel(flux, w, given)
    twice = Filters(*(weight.copy() for weight in once))
    pooled_gradient(flux, w, given.astype(np.float32), by_kernel(flux, w)[1], twice)
    for got, expected in zip(twice, once, strict=True):
        np.testing.assert_allclose(got, 2 * expected, rtol=1e-6)


def test_a_pixel_that_is_no_number_comes_through() -> None:
    flux, w = spectrum(600, 1), filters(1)
    flux[300] = np.nan
    out, winner = by_kernel(flux, w)
    assert np.isnan(out).any(axis=1).all(), "some filters hide it"
    assert np.isfinite(out[:, [0, -1]]).all()
    total = Filters(*(np.zeros_like(weight) for weight in w))
    pooled_gradient(flux, w, np.ones_like(out), winner, total)
    assert np.isnan(total.second).any()


def test_a_rest_of_less_than_four_pixels_is_left_out() -> None:
    assert [pooled_length(pixels) for pixels in (10, 14, 17, 18, 21, 22, 39_436)] == [0, 0, 0, 1, 1, 2, 9855]
    flux, w = spectrum(21, 1), filters(1)
    assert np.array_equal(by_kernel(flux, w)[0], by_kernel(flux[:18].copy(), w)[0])
