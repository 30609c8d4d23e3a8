"""HARPS and HARPS-N: one-dimensional spectra (`*_s1d_A.fits`) of the instruments' data reduction software (DRS).

Pepe et al. (2002), The Messenger 110, 9; HARPS DRS User Manual (3M6-MAN-HAR-33110-0016). HDU 0 is a linear axis
CRVAL1 + pixel CDELT1, angstrom in air, of merged orders, with zeros in the gap between the two chips. The DRS moves
s1d spectra to the Solar System's barycentre by its velocity ESO DRS BERV; SPECSYS, where it is there, goes first.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS, hdu_at, number, opened_fits
from starnet_hpc.observations.fitsaxis import axis_medium, linear_axis, linear_header, row_of_pixels
from starnet_hpc.observations.spectrum import FRAMES, Frame, Glimpse, ObservedSpectrum, check_observation

_DRS = ("ESO DRS", "TNG DRS")
_SNR_OF_ORDER = re.compile(r"(ESO|TNG) DRS SPE EXT SN\d+")
_KEPT = ("OBJECT", "INSTRUME", "SPECSYS", "CTYPE1", "DATE-OBS")
_BY_DRS = "barycentric, since the header has DRS BERV and no SPECSYS: the DRS writes s1d files so"


class Harps:
    """Reader of s1d files."""

    format = "harps"
    endings = FITS_ENDINGS

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether HDU 0 is a one-dimensional image with a linear axis that the DRS wrote."""
        header = linear_header(glimpse)
        return header is not None and any(str(key).startswith(_DRS) for key in header)

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; the chip gap and other pixels without flux (exactly 0) are marked bad.

        Raises:
            ObservationFormatError: the file is damaged, or is no s1d spectrum.
            MissingInputError: there is no such file.
        """
        with opened_fits(path, ObservationFormatError) as hdus:
            image = hdu_at(hdus, 0, path, ObservationFormatError)
            header = image.header
            flux = row_of_pixels(image, path)
            wavelength = linear_axis(header, flux.size, path, unit="Angstrom")
            extra = {key: str(header[key]).strip() for key in _KEPT if key in header}
            medium = axis_medium(header, path, unsaid="air")
            frame, remarks = _frame(header, extra.get("SPECSYS", ""))
            snr = _snr(header, path)
        spectrum = ObservedSpectrum(
            wavelength=wavelength,
            flux=flux,
            error=None,
            bad=~np.isfinite(flux) | (flux == 0),
            snr=snr,
            identifier=extra.get("OBJECT", ""),
            frame=frame,
            source=path.name,
            medium=medium,
            remarks=remarks,
            extra=extra,
        )
        return check_observation(spectrum, path)


def _frame(header: Any, specsys: str) -> tuple[Frame | None, tuple[str, ...]]:
    """Return the velocity frame, and what should be said about it."""
    if specsys:
        return FRAMES.get(specsys.upper()), ()
    if any(f"{drs} BERV" in header for drs in _DRS):
        return "barycentric", (_BY_DRS,)
    return None, ()


def _snr(header: Any, path: Path) -> float | None:
    """Return the median of the orders' signal-to-noise ratios a pixel, None if the header has none."""
    keys = [str(key) for key in header if _SNR_OF_ORDER.fullmatch(str(key))]
    values = np.array([number(header, key, path, ObservationFormatError) for key in keys])
    usable = values[np.isfinite(values) & (values > 0)]
    return float(np.median(usable)) if usable.size else None
