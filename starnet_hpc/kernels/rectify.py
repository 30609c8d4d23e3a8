"""Batch normalisation with known statistics and a ReLU, in one pass over what they are applied to.

One after the other, with the sum of two branches before them, they write and read activations three times; predicting
with a small network consists of such passes as much as of arithmetic.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_F4 = NDArray[np.float32]
_ZERO = np.float32(0.0)


@njit(cache=True, nogil=True, boundscheck=False)
def rectified(x: _F4, scale: _F4, shift: _F4, out: _F4) -> None:
    """Write max(0, scale x + shift); what is no number stays none.

    Args:
        x: activations [places, channels].
        scale: [channels].
        shift: [channels].
        out: written, [places, channels]; may be `x` itself.
    """
    for place in range(x.shape[0]):
        for channel in range(x.shape[1]):
            value = scale[channel] * x[place, channel] + shift[channel]
            out[place, channel] = _ZERO if value < _ZERO else value  # noqa: FURB136  # `max` makes zeros of what is no number


@njit(cache=True, nogil=True, boundscheck=False)
def rectified_sum(x: _F4, y: _F4, scale: _F4, shift: _F4, out: _F4) -> None:
    """Write max(0, scale (x + y) + shift), as `rectified` does."""
    for place in range(x.shape[0]):
        for channel in range(x.shape[1]):
            value = scale[channel] * (x[place, channel] + y[place, channel]) + shift[channel]
            out[place, channel] = _ZERO if value < _ZERO else value  # noqa: FURB136  # `max` makes zeros of what is no number
