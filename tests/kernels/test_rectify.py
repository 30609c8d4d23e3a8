"""Normalisation and ReLU in one pass, against the same written with NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.kernels.rectify import rectified, rectified_sum


@settings(deadline=None)  # the first call compiles
@given(places=st.integers(0, 9), channels=st.integers(1, 40), seed=st.integers(0, 99))
def test_both_are_a_straight_line_cut_off_at_zero(places: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, places, channels)).astype(np.float32)
    scale, shift = rng.normal(size=(2, channels)).astype(np.float32)
    out = np.full_like(x, np.nan)
    rectified(x, scale, shift, out)
    np.testing.assert_allclose(out, np.maximum(0, scale * x + shift), rtol=1e-5, atol=1e-6)
    rectified_sum(x, y, scale, shift, out)
    np.testing.assert_allclose(out, np.maximum(0, scale * (x + y) + shift), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_hidden(bad: float) -> None:
    x = np.array([[1.0, bad, 2.0]], dtype=np.float32)
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    for found in (np.empty_like(x), x):  # in place, too
        rectified(x, one, zero, found)
        np.testing.assert_array_equal(found, np.maximum(0, [[1.0, bad, 2.0]]))
