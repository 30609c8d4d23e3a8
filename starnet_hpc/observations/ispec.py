"""iSpec's FITS spectra, as the Gaia FGK benchmark stars are published in: a linear axis in HDU 0, errors in `SIGMA`.

Blanco-Cuaresma et al. (2014), A&A 566, A98. The axis is CRVAL1 + (pixel + 1 - CRPIX1) CDELT1, in nm or angstrom of air.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import hdu_at, number, opened_fits
from starnet_hpc.observations.spectrum import ObservedSpectrum, check_observation

_ANGSTROM_PER = {"nm": 10.0, "angstrom": 1.0, "angstroms": 1.0}
_KEPT = ("OBJECT", "ORIGIN", "CTYPE1", "CUNIT1", "TUNIT1")
_ERRORS = "SIGMA"


class ISpec:
    """Reader of iSpec's FITS files."""

    format = "ispec"

    def recognises(self, hdus: Any) -> bool:
        """Whether HDU 0 is a one-dimensional image with a linear axis of known unit."""
        header = hdus[0].header
        linear = header.get("NAXIS") == 1 and "CRVAL1" in header and "CDELT1" in header
        return linear and str(header.get("CUNIT1", "")).strip().lower() in _ANGSTROM_PER

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; pixels without flux (exactly 0) or without error are marked bad.

        Raises:
            ObservationFormatError: the file is damaged, or is no iSpec spectrum.
            MissingInputError: there is no such file.
        """
        with opened_fits(path, ObservationFormatError) as hdus:
            image = hdu_at(hdus, 0, path, ObservationFormatError)
            flux = _vector(image, path)
            wavelength = _axis(image.header, flux.size, path)
            error = None
            if _ERRORS in hdus:
                error = _vector(hdu_at(hdus, hdus.index_of(_ERRORS), path, ObservationFormatError), path)
            extra = {key: str(image.header[key]).strip() for key in _KEPT if key in image.header}
        spectrum = ObservedSpectrum(
            wavelength=wavelength,
            flux=flux,
            error=error if error is not None and np.any(error > 0) else None,
            bad=~np.isfinite(flux) | (flux == 0),
            snr=None,
            identifier=extra.get("OBJECT", ""),
            frame=None,  # iSpec has no keyword for it
            source=path.name,
            extra=extra,
        )
        return check_observation(spectrum, path)


def _vector(hdu: Any, path: Path) -> NDArray[np.float64]:
    if hdu.data is None or hdu.data.ndim != 1:
        raise ObservationFormatError(
            f"{path}: HDU {hdu.name or 0} should hold one row of pixels, but has shape {hdu.shape}"
        )
    values: NDArray[np.float64] = np.asarray(hdu.data, dtype=np.float64)
    return values


def _axis(header: Any, pixels: int, path: Path) -> NDArray[np.float64]:
    """Return the wavelengths [pixels], angstrom in air."""
    unit = str(header.get("CUNIT1", "")).strip()
    if unit.lower() not in _ANGSTROM_PER:
        raise ObservationFormatError(f"{path}: CUNIT1 is {unit!r}, expected NM or Angstrom; correct the header")
    kind = str(header.get("CTYPE1", "AWAV")).strip().upper()
    if kind != "AWAV":
        raise ObservationFormatError(
            f"{path}: CTYPE1 is {kind!r}, expected AWAV (wavelength in air); convert the axis, or correct the header"
        )
    start, step = (number(header, key, path, ObservationFormatError) for key in ("CRVAL1", "CDELT1"))
    reference = number(header, "CRPIX1", path, ObservationFormatError) if "CRPIX1" in header else 1.0
    axis = start + (np.arange(pixels, dtype=np.float64) + 1.0 - reference) * step
    return axis * _ANGSTROM_PER[unit.lower()]
