"""Flags of catalogue rows, from what was predicted and what is known of the spectra."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.flags import Flag, outside
from starnet_hpc.networks import Combined, TrainedOn
from starnet_hpc.predict.limits import Limits, epistemic_share
from starnet_hpc.stores import Store


def known_before(store: Store) -> tuple[NDArray[np.integer[Any]], NDArray[np.float64]]:
    """Return the flags [rows] that a store's spectra have before they are predicted, and their S/N [rows]."""
    before = store.column("flags") if store.has("flags") else np.zeros(len(store), dtype=np.int32)
    snr = store.column("snr") if store.has("snr") else store.column("draws/snr")
    return before, np.asarray(snr, dtype=np.float64)


def flags_of(
    before: NDArray[np.integer[Any]], snr: NDArray[np.float64], mean: NDArray[np.float64], trained_on: TrainedOn
) -> NDArray[np.int32]:
    """Return the flags [rows] of spectra.

    Args:
        before: flags [rows] that they had before they were predicted.
        snr: signal-to-noise ratio a pixel [rows], NaN where unknown.
        mean: predicted labels [rows, labels], NaN where there is no prediction.
        trained_on: what the members were trained on.
    """
    flags = before.astype(np.int32)
    flags[~np.isfinite(mean).all(axis=1)] |= Flag.BAD_INPUT
    with np.errstate(invalid="ignore"):
        flags[snr < trained_on.snr_min] |= Flag.LOW_SNR
        for k, name in enumerate(trained_on.label_names):
            beyond = (mean[:, k] < trained_on.label_min[k]) | (mean[:, k] > trained_on.label_max[k])
            flags[beyond] |= outside(name)
    return flags


def flag_doubts(
    found: Combined,
    sigma: NDArray[np.float64],
    distance: NDArray[np.float64],
    misfit: NDArray[np.float64],
    limits: Limits,
    sigma_limits: Mapping[str, float],
    trained_on: TrainedOn,
) -> NDArray[np.int32]:
    """Return the flags [rows] that say what predictions tell of themselves; none where there is no prediction.

    Args:
        found: predictions.
        sigma: calibrated total standard deviations [rows, labels].
        distance: of the last hidden layer from training spectra [rows].
        misfit: of reconstructions [rows]; no rows where there are none.
        limits: that validation spectra set.
        sigma_limits: largest `sigma` of some labels, by name; of labels that there are not, nothing follows.
        trained_on: which labels these are.
    """
    flags = np.zeros(distance.shape, dtype=np.int32)
    largest = np.array([sigma_limits.get(name, np.inf) for name in trained_on.label_names])
    # Comparisons with NaN, of rows without labels and of limits that are none, are false.
    flags[(sigma > largest).any(axis=1)] |= Flag.LARGE_SIGMA
    flags[(epistemic_share(found) > limits.epistemic_share).any(axis=1)] |= Flag.LARGE_EPISTEMIC
    flags[distance > limits.distance] |= Flag.UNLIKE_TRAINING
    if misfit.size:
        flags[misfit > limits.usual.limit] |= Flag.POOR_FIT
    return flags
