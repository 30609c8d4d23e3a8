"""Half precision as NumPy rounds it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from starnet_hpc.kernels.half import to_half


def test_every_half_and_every_tie_and_their_neighbours_round_as_numpy_does() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = np.sort(halves[np.isfinite(halves)])
    ties = (halves[1:] + halves[:-1]) / 2
    there = np.concatenate([halves, ties, np.float32([65519.9, 65520, 65536, 1e30, np.inf, -65520, -np.inf, 1e-30])])
    x = np.concatenate([there, np.nextafter(there, np.float32(np.inf)), np.nextafter(there, np.float32(-np.inf))])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(to_half(x).view(np.uint16), expected.view(np.uint16))


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint32, st.tuples(st.integers(1, 40), st.integers(1, 7))))
def test_any_bits_round_as_numpy_does(bits: np.ndarray) -> None:
    x = bits.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(np.float16)
    found = to_half(x)
    assert found.shape == x.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(found.view(np.uint16)[number], expected.view(np.uint16)[number])


def test_halves_are_put_where_they_are_wanted() -> None:
    x = np.linspace(-2.0, 2.0, 101, dtype=np.float32)
    table = np.full((3, x.size), 7.0, dtype=np.float16)
    to_half(x, table[1])
    np.testing.assert_array_equal(table[1], x.astype(np.float16))
    assert (table[[0, 2]] == 7.0).all()
