"""Weighted sums of spectra."""

import numpy as np
import pytest

from starnet_hpc.kernels.blend import blend


def spectra(count: int, mean: float = 1.0) -> list[np.ndarray]:
    lines = np.sin(np.linspace(0.0, 2.0 * np.pi * 7.0, 1000, endpoint=False))
    return [(mean * (1.0 + 0.1 * k * lines)).astype(np.float32) for k in range(count)]


def test_one_spectrum_is_itself() -> None:
    (one,) = spectra(1)
    assert blend([one], [1.0]) is one


def test_spectra_of_one_mean_add_up_linearly() -> None:
    weights = [0.5, 0.3, 0.2]
    expected = np.tensordot(weights, np.array(spectra(3), dtype=float), 1)
    np.testing.assert_allclose(blend(spectra(3), weights), expected, rtol=1e-6)  # sums of float32


def test_the_mean_is_interpolated_in_its_logarithm() -> None:
    found = blend([np.full(100, 2.0, np.float32), np.full(100, 32.0, np.float32)], [0.75, 0.25])
    np.testing.assert_allclose(found, 4.0, rtol=1e-6)  # 2^(1 + 4/4)


def test_the_unit_of_a_spectrum_changes_nothing_but_the_level() -> None:
    one, other = spectra(2)
    plain, scaled = blend([one, other], [0.6, 0.4]), blend([one, np.float32(1e6) * other], [0.6, 0.4])
    np.testing.assert_allclose(scaled / scaled.mean(), plain / plain.mean(), rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_spectra_without_light_give_one_without_light() -> None:
    assert not blend([np.zeros(50, np.float32)] * 2, [0.5, 0.5]).any()
