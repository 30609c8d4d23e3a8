"""Spectra between those that were computed: weighted sums of fluxes."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_F4 = NDArray[np.float32]

_NO_LIGHT = 1e-30
"""Spectra without flux have no logarithm; the sum is then nothing, and is refused where its continuum is."""


def blend(spectra: Sequence[_F4], weights: Sequence[float]) -> _F4:
    """Return the spectrum [n] between some spectra: linear in the flux over its mean, and the mean in its logarithm.

    Divided by their means, spectra weigh what their weights say, in whatever units they are: a sum of plain fluxes of
    5000 and 5250 K in equal parts has a third more of the hotter star in it.

    Args:
        spectra: [n] each, positive on average.
        weights: one each, positive, with sum 1.
    """
    if len(spectra) == 1:
        return spectra[0]
    means = [max(float(spectrum.mean(dtype=np.float64)), _NO_LIGHT) for spectrum in spectra]
    level = math.exp(sum(weight * math.log(mean) for weight, mean in zip(weights, means, strict=True)))
    out = np.zeros_like(spectra[0])
    for spectrum, weight, mean in zip(spectra, weights, means, strict=True):
        out += np.float32(weight * level / mean) * spectrum
    return out
