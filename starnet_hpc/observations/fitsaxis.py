"""One-dimensional FITS images: a row of pixels with a linear axis of wavelength."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import number
from starnet_hpc.observations.spectrum import MEDIA, Glimpse, Medium
from starnet_hpc.observations.units import angstrom_per

_UNSAID = ("", "LINEAR", "LAMBDA", "WAVELENGTH")
"""Values of CTYPE1 that name no medium."""


def linear_header(glimpse: Glimpse) -> Any | None:
    """Return the header of HDU 0 if it is a one-dimensional image with a linear axis, else None."""
    if glimpse.hdus is None:
        return None
    header = glimpse.hdus[0].header
    return header if header.get("NAXIS") == 1 and "CRVAL1" in header and "CDELT1" in header else None


def row_of_pixels(hdu: Any, path: Path) -> NDArray[np.float64]:
    """Return the pixels [n] of an image, after checking that it has one axis."""
    if hdu.data is None or hdu.data.ndim != 1:
        raise ObservationFormatError(
            f"{path}: HDU {hdu.name or 0} should hold one row of pixels, but has shape {hdu.shape}"
        )
    values: NDArray[np.float64] = np.asarray(hdu.data, dtype=np.float64)
    return values


def linear_axis(header: Any, pixels: int, path: Path, *, unit: str = "") -> NDArray[np.float64]:
    """Return CRVAL1 + (pixel + 1 - CRPIX1) CDELT1 [pixels] in angstrom.

    Args:
        header: of the image.
        pixels: how many there are.
        path: of the file, for messages.
        unit: what the format means if there is no CUNIT1.
    """
    named = str(header.get("CUNIT1", "")).strip()
    factor = angstrom_per(named or unit)
    if factor is None:
        raise ObservationFormatError(f"{path}: CUNIT1 is {named!r}, expected NM or Angstrom; correct the header")
    start, step = (number(header, key, path, ObservationFormatError) for key in ("CRVAL1", "CDELT1"))
    reference = number(header, "CRPIX1", path, ObservationFormatError) if "CRPIX1" in header else 1.0
    return (start + (np.arange(pixels, dtype=np.float64) + 1.0 - reference) * step) * factor


def axis_medium(header: Any, path: Path, unsaid: Medium | None = None) -> Medium | None:
    """Return what a linear axis is measured in; `unsaid` where CTYPE1 does not say.

    Raises:
        ObservationFormatError: the axis is not linear in wavelength.
    """
    kind = str(header.get("CTYPE1", "")).strip()
    if kind.upper() in MEDIA:
        medium: Medium | None = MEDIA[kind.upper()]
    elif kind.upper() in _UNSAID:
        medium = unsaid
    else:
        raise ObservationFormatError(
            f"{path}: CTYPE1 is {kind!r}, expected AWAV (wavelength in air) or WAVE (in vacuum), linear; convert the "
            f"axis, or correct the header"
        )
    if header.get("DC-FLAG") == 1:
        raise ObservationFormatError(f"{path}: DC-FLAG is 1, the axis is logarithmic; convert it to a linear one")
    return medium
