"""Wavelengths in vacuum and in air."""

import numpy as np
from numpy.typing import NDArray


def vacuum_to_air(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return wavelengths in standard air (15 C, 1013.25 hPa, dry) [n, angstrom] of wavelengths in vacuum [n, angstrom].

    Dispersion of Birch & Downs (1994, Metrologia 31, 315), in the form that VALD uses (Ryabchikova et al. 2015).
    """
    square = (1e4 / np.asarray(wavelength, dtype=np.float64)) ** 2
    index = 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - square) + 1.5998e-4 / (38.9 - square)
    return np.asarray(wavelength / index, dtype=np.float64)
