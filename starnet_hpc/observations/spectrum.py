"""What every reader of observed spectra hands over: one spectrum, checked, in the package's units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError

Frame = Literal["rest", "barycentric", "topocentric"]
"""Velocity frame of wavelengths: of the star, of the Solar System's barycentre, or of the telescope."""

Medium = Literal["air", "vacuum"]
"""What wavelengths are measured in."""

FRAMES: Mapping[str, Frame] = {
    "BARYCENT": "barycentric",
    "HELIOCEN": "barycentric",
    "SOURCE": "rest",
    "TOPOCENT": "topocentric",
}
"""Values of SPECSYS (Greisen et al. 2006, A&A 446, 747); the Sun moves about the barycentre with 0.016 km/s at most."""

MEDIA: Mapping[str, Medium] = {"AWAV": "air", "WAVE": "vacuum"}
"""Values of CTYPE1 (Greisen et al. 2006, table 1)."""

_FEWEST_PIXELS = 16
_OPTICAL = (1_000.0, 100_000.0)
"""Angstrom; wavelengths outside are in another unit."""


@dataclass(frozen=True)
class ObservedSpectrum:
    """One observed spectrum. Fluxes are averages over pixels (flux per unit wavelength, or counts a pixel).

    A reader hands it over as the file has it; `declared.settled` turns it into air and into a frame that can be used.
    """

    wavelength: NDArray[np.float64]
    """Pixel centres [n], angstrom in `medium`, increasing."""
    flux: NDArray[np.float64]
    """Flux [n] in any unit; NaN where there is none."""
    error: NDArray[np.float64] | None
    """Standard deviation of the flux [n], in its unit, if the file gives it."""
    bad: NDArray[np.bool_]
    """Pixels [n] that must not be used, whatever their flux says."""
    snr: float | None
    """Signal-to-noise ratio a pixel that the file gives."""
    identifier: str
    """Name of the star or of the observation in the header, "" if there is none; unlike a row's id it may repeat."""
    frame: Frame | None
    """Velocity frame that the header declares; None if it does not."""
    source: str
    """Name of the file."""
    medium: Medium | None = None
    """What the header, or the format by its definition, says that wavelengths are measured in; None if neither does."""
    barycentric_kms: float | None = None
    """Velocity [km/s] that the header gives for going from the telescope's frame to the barycentre's."""
    remarks: tuple[str, ...] = ()
    """How the file was understood where its user should know it; the same words for the same kind of file."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Header entries worth keeping, or worth quoting in a message."""


@dataclass(frozen=True)
class Glimpse:
    """What readers look at to recognise a file of their format."""

    path: Path
    head: bytes
    """The first bytes, uncompressed."""
    hdus: Any | None
    """astropy's HDU list, if it is a FITS file."""


class ObservationReader(Protocol):
    """A format of observed spectra. A further one is one file with such a class, and an entry in `registry.py`."""

    @property
    def format(self) -> str:
        """Name of the format, the value of `survey.format`."""

    @property
    def endings(self) -> tuple[str, ...]:
        """How the names of such files end, in small letters; "" is any ending."""

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether a file is of this format."""

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file, checked.

        Raises:
            ObservationFormatError: the file is not what the format promises; names file, place and remedy.
            MissingInputError: there is no such file.
        """


def check_observation(spectrum: ObservedSpectrum, path: Path) -> ObservedSpectrum:
    """Return the spectrum if its wavelengths can be those of one; fluxes may be bad, that is what masks are for.

    Raises:
        ObservationFormatError: with the file, the first pixel that is wrong, and what to do.
    """
    wavelength = spectrum.wavelength
    shapes = {a.shape for a in (wavelength, spectrum.flux, spectrum.error, spectrum.bad) if a is not None}
    if len(shapes) != 1 or wavelength.ndim != 1 or wavelength.size < _FEWEST_PIXELS:
        raise ObservationFormatError(
            f"{path}: expected at least {_FEWEST_PIXELS} pixels with as many wavelengths, fluxes and errors, "
            f"got arrays of shape {', '.join(map(str, sorted(shapes)))}"
        )
    odd = np.flatnonzero(~np.isfinite(wavelength))
    if odd.size:
        raise ObservationFormatError(f"{path}: the wavelength of pixel {odd[0]} is {wavelength[odd[0]]:g}")
    low, high = _OPTICAL
    if wavelength.min() < low or wavelength.max() > high:
        raise ObservationFormatError(
            f"{path}: wavelengths run from {wavelength.min():g} to {wavelength.max():g} A, outside {low:g} to "
            f"{high:g}: the header's unit of wavelength is probably wrong; correct it"
        )
    back = np.flatnonzero(np.diff(wavelength) <= 0)
    if back.size:
        k = int(back[0])
        kind = "repeats" if wavelength[k + 1] == wavelength[k] else "is smaller than"
        raise ObservationFormatError(
            f"{path}: the wavelength of pixel {k + 1}, {wavelength[k + 1]:.4f} A, {kind} that of pixel {k}, "
            f"{wavelength[k]:.4f} A; wavelengths must increase: merge the orders, and keep one of equal pixels"
        )
    return spectrum
