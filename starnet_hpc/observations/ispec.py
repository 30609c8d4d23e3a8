"""iSpec's FITS spectra, as the Gaia FGK benchmark stars are published in: a linear axis in HDU 0, errors in `SIGMA`.

Blanco-Cuaresma et al. (2014), A&A 566, A98. The axis is CRVAL1 + (pixel + 1 - CRPIX1) CDELT1, in nm or angstrom; CTYPE1
is AWAV in air and WAVE in vacuum.
"""

from pathlib import Path

import numpy as np

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS, hdu_at, opened_fits
from starnet_hpc.observations.fitsaxis import axis_medium, linear_axis, linear_header, row_of_pixels
from starnet_hpc.observations.spectrum import FRAMES, Glimpse, ObservedSpectrum, check_observation
from starnet_hpc.observations.units import angstrom_per

_KEPT = ("OBJECT", "ORIGIN", "CTYPE1", "CUNIT1", "TUNIT1", "SPECSYS")
_ERRORS = "SIGMA"


class ISpec:
    """Reader of iSpec's FITS files."""

    format = "ispec"
    endings = FITS_ENDINGS

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether HDU 0 is a one-dimensional image with a linear axis of known unit."""
        header = linear_header(glimpse)
        return header is not None and angstrom_per(str(header.get("CUNIT1", ""))) is not None

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; pixels without flux (exactly 0) or without error are marked bad.

        Raises:
            ObservationFormatError: the file is damaged, or is no iSpec spectrum.
            MissingInputError: there is no such file.
        """
        with opened_fits(path, ObservationFormatError) as hdus:
            image = hdu_at(hdus, 0, path, ObservationFormatError)
            flux = row_of_pixels(image, path)
            wavelength = linear_axis(image.header, flux.size, path)
            medium = axis_medium(image.header, path)
            error = None
            if _ERRORS in hdus:
                error = row_of_pixels(hdu_at(hdus, hdus.index_of(_ERRORS), path, ObservationFormatError), path)
            extra = {key: str(image.header[key]).strip() for key in _KEPT if key in image.header}
        spectrum = ObservedSpectrum(
            wavelength=wavelength,
            flux=flux,
            error=error if error is not None and np.any(error > 0) else None,
            bad=~np.isfinite(flux) | (flux == 0),
            snr=None,
            identifier=extra.get("OBJECT", ""),
            frame=FRAMES.get(extra.get("SPECSYS", "").upper()),  # iSpec itself does not say
            source=path.name,
            medium=medium,
            extra=extra,
        )
        return check_observation(spectrum, path)
