"""Wavelengths in vacuum and in standard air (dry, 15 C, 1 atm, 450 ppm of CO2), the one conversion of all readers.

Refractive index: Birch & Downs (1994, Metrologia 31, 315) as Morton (2000, ApJS 130, 403, eq. 8) writes it, which is
also VALD3's conversion. Edlen (1953), Peck & Reeder (1972) and Ciddor (1996) agree with it to 7 m/s in the optical.
"""

import numpy as np
from numpy.typing import NDArray

_F8 = NDArray[np.float64]

_SHORTEST = 2000.0
"""Angstrom. Below, wavelengths in air are not in use and the formula has poles; the index at this one is kept, so that
wavelengths increase through it."""
_ROUNDS = 4
"""Each round of the inversion shrinks its error by the slope of the index, less than 1e-4."""


def vacuum_to_air(wavelength: _F8) -> _F8:
    """Return wavelengths in air [n] for wavelengths in vacuum [n], both in angstrom."""
    return wavelength / _index(wavelength)


def air_to_vacuum(wavelength: _F8) -> _F8:
    """Return wavelengths in vacuum [n] for wavelengths in air [n], both in angstrom: the inverse, to rounding."""
    vacuum = wavelength
    for _ in range(_ROUNDS):
        vacuum = wavelength * _index(vacuum)
    return vacuum


def _index(vacuum: _F8) -> _F8:
    """Refractive index of standard air at wavelengths in vacuum [n], angstrom."""
    square = (1e4 / np.maximum(vacuum, _SHORTEST)) ** 2  # of the wavenumber in 1 / micrometre
    index: _F8 = 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - square) + 1.5998e-4 / (38.9 - square)
    return index
