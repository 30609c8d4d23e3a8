"""Standardised labels, and the way back to physical units."""

import numpy as np

from starnet_hpc.networks import LabelScale, moments

SCALE = LabelScale(mean=np.array([5000.0, 0.0]), std=np.array([800.0, 0.3]))


def test_a_variance_in_units_of_the_labels_scatter_becomes_the_sigma_in_kelvin() -> None:
    # A network that is sure to 0.05 standard deviations, of 800 K, is sure to 40 K. Scaled by 800 instead of by its
    # square, the variance would give 1.4 K: a defect of the authors' public code.
    mean, variance = SCALE.physical(np.array([[0.5, -1.0]], dtype=np.float32), np.float32([[0.05**2, 0.1**2]]))
    np.testing.assert_allclose(mean, [[5400.0, -0.3]], rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(variance), [[40.0, 0.03]], rtol=1e-7)
    assert mean.dtype == variance.dtype == np.float64


def test_standardised_labels_come_back_to_what_they_were() -> None:
    labels = np.array([[4000.0, -0.5], [7000.0, 0.5]])
    standardised = SCALE.standardised(labels)
    assert standardised.dtype == np.float32
    back, _ = SCALE.physical(standardised, np.ones_like(standardised))
    np.testing.assert_allclose(back, labels, rtol=3e-7)  # float32 on the way


def test_one_members_moments_are_its_mean_and_variance_in_float64() -> None:
    one = moments(np.float32([[1.5]]), np.float32([[0.25]]))
    assert one.dtype == np.float64
    np.testing.assert_array_equal(one, [[[1.0, 1.5, 0.0, 0.25]]])
