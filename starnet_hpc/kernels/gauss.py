"""Discrete kernels from their transforms, for profiles too narrow to be sampled."""

from math import comb

import numpy as np
from numpy.typing import NDArray

_F8 = NDArray[np.float64]

GAUSS_REACH = 4.75
"""Gaussians end after this many sigmas: what is left out is 2e-6 of their area."""

_SAMPLED = 1.0
"""A Gaussian of this variance [squared steps] or more is sampled; its trapezoidal rule errs by exp(-2 pi^2)."""
_TERMS = 12
"""Terms of the series for squared frequencies."""
_SPILL = 24
"""What is no wider than a step has taps below 1e-8 from here on."""
_FAINTEST = 3e-8
"""Outer taps below this are left out."""


def gauss_taps(variance: float) -> _F8:
    """Return taps [odd] of sum 1 that convolve a well sampled function with a Gaussian.

    Args:
        variance: of the Gaussian, squared steps, >= 0; without width there is one tap, of 1.
    """
    if variance >= _SAMPLED:
        reach = np.ceil(GAUSS_REACH * np.sqrt(variance))
        taps = np.exp(-0.5 * np.arange(-reach, reach + 1) ** 2 / variance)
    else:
        taps = taps_of(np.exp(-0.5 * variance * squared_frequencies(0.0)))
    return np.asarray(taps / taps.sum())


def squared_frequencies(width: float) -> _F8:
    """Return w^2 [frequencies], for w in equal steps from 0 to pi a step, enough of them for kernels of a half-width.

    A kernel whose transform were a function of w^2 itself would go on without end, since w^2 has a kink at pi when it
    is repeated. So the series of w^2 = 4 arcsin(sin(w / 2))^2 (Borwein & Chamberland 2007, Int. J. Math. Math. Sci.,
    19381) is cut: 2 sum q^m / (m^2 binomial(2 m, m)), q = 4 sin(w / 2)^2. After 12 terms it is short by 3e-6 of w^2
    at pi / 2, and the moments of kernels are right up to order 25.

    Args:
        width: half-width of the kernel, steps.
    """
    count = 1 << int(np.ceil(np.log2(width + _SPILL))) + 1
    q = 4.0 * np.sin(np.pi * np.arange(count // 2 + 1) / count) ** 2
    return np.asarray(sum(2.0 * q**m / (m * m * comb(2 * m, m)) for m in range(1, _TERMS + 1)))


def taps_of(transform: _F8) -> _F8:
    """Return the symmetric taps [odd] of a transform at the frequencies of `squared_frequencies`."""
    taps = np.fft.fftshift(np.fft.irfft(transform))[1:]
    middle = taps.size // 2
    reach = middle - int(np.argmax(np.abs(taps) > _FAINTEST))
    return np.asarray(taps[middle - reach : middle + reach + 1])
