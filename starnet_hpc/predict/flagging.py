"""Flags of catalogue rows, from what was predicted and what is known of the spectra."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.flags import Flag, outside
from starnet_hpc.networks import TrainedOn
from starnet_hpc.stores import Store


def flag_rows(store: Store, mean: NDArray[np.float64], trained_on: TrainedOn) -> NDArray[np.int32]:
    """Return the flags [rows] of a store's rows with predicted labels `mean` [rows, labels]."""
    flags = np.zeros(len(store), dtype=np.int32)
    if store.has("flags"):
        flags |= store.column("flags").astype(np.int32)
    flags[~np.isfinite(mean).all(axis=1)] |= Flag.BAD_INPUT
    snr = store.column("snr") if store.has("snr") else store.column("draws/snr")
    with np.errstate(invalid="ignore"):
        flags[np.asarray(snr, dtype=np.float64) < trained_on.snr_min] |= Flag.LOW_SNR
        for k, name in enumerate(trained_on.label_names):
            beyond = (mean[:, k] < trained_on.label_min[k]) | (mean[:, k] > trained_on.label_max[k])
            flags[beyond] |= outside(name)
    return flags
