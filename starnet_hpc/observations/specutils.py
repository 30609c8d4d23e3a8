"""Whatever specutils can read (SDSS, DESI, APOGEE, JWST, IRAF and more): the optional extra `starnet-hpc[specutils]`.

specutils knows units, masks and uncertainties; the medium and the velocity frame are taken from CTYPE1 and SPECSYS of
the header that it hands on, and otherwise have to be said. Frequencies and energies are those of vacuum.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.grids.fitsfile import first_bytes
from starnet_hpc.observations.spectrum import FRAMES, MEDIA, Glimpse, Medium, ObservedSpectrum, check_observation

_KEPT = ("OBJECT", "INSTRUME", "SPECSYS", "CTYPE1", "DATE-OBS")


class Specutils:
    """Reader through specutils; it has to be asked for by name."""

    format = "specutils"
    endings = ("",)

    def recognises(self, glimpse: Glimpse) -> bool:
        """Never: what specutils takes a file for depends on its release and its plug-ins."""
        return False

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; masked pixels and those without flux (exactly 0) are marked bad.

        Raises:
            ConfigError: specutils is not installed.
            ObservationFormatError: specutils cannot read the file, or it holds several spectra.
            MissingInputError: there is no such file.
        """
        first_bytes(path, 1, ObservationFormatError)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd headers; what matters is checked
            spectrum = _read(path)
            try:
                return _observed(spectrum, path)
            except ObservationFormatError:
                raise
            except Exception as problem:  # noqa: BLE001 - as odd as the file may be, so may be what specutils makes of it
                raise _unreadable(path, problem) from None


def _read(path: Path) -> Any:
    try:
        import specutils
    except ImportError:
        raise ConfigError(
            "survey.format: `specutils` needs a package that is not installed; pip install 'starnet-hpc[specutils]'"
        ) from None
    try:
        return specutils.Spectrum.read(path)
    except Exception as problem:  # noqa: BLE001 - readers of 30 formats, on whatever the file holds
        raise _unreadable(path, problem) from None


def _observed(spectrum: Any, path: Path) -> ObservedSpectrum:
    axis = spectrum.spectral_axis
    flux = np.asarray(spectrum.flux.value, dtype=np.float64)
    if flux.size != axis.size:
        raise ObservationFormatError(
            f"{path}: specutils finds {flux.size // max(axis.size, 1)} spectra of {axis.size} pixels; write each to a "
            f"file of its own"
        )
    header = _header(spectrum.meta)
    extra = {key: str(header[key]).strip() for key in _KEPT if key in header}
    medium: Medium | None = MEDIA.get(extra.get("CTYPE1", "").upper())
    if axis.unit.physical_type != "length":
        medium = "vacuum"  # a frequency, an energy or a wavenumber, which specutils turns into wavelengths by c
    flux = flux.reshape(-1)
    bad = ~np.isfinite(flux) | (flux == 0)
    if spectrum.mask is not None:
        bad |= np.asarray(spectrum.mask).reshape(-1).astype(bool)
    wavelength = np.asarray(axis.to_value(units.AA, equivalencies=units.spectral()), dtype=np.float64)
    error = _error(spectrum, flux.size)
    if wavelength[0] > wavelength[-1]:
        wavelength, flux, bad = wavelength[::-1], flux[::-1], bad[::-1]
        error = None if error is None else error[::-1]
    return check_observation(
        ObservedSpectrum(
            wavelength=wavelength,
            flux=flux,
            error=error,
            bad=bad,
            snr=None,
            identifier=extra.get("OBJECT", ""),
            frame=FRAMES.get(extra.get("SPECSYS", "").upper()),
            source=path.name,
            medium=medium,
            extra=extra,
        ),
        path,
    )


def _header(meta: Any) -> Any:
    """Return the FITS header that specutils hands on, an empty mapping if there is none."""
    header = meta.get("header", {})
    return header if hasattr(header, "keys") else {}


def _error(spectrum: Any, pixels: int) -> NDArray[np.float64] | None:
    """Return standard deviations [pixels] whatever kind of uncertainty there is; None if they say nothing."""
    if spectrum.uncertainty is None:
        return None
    from astropy.nddata import StdDevUncertainty  # costs a third of a second that only this format needs

    deviation = spectrum.uncertainty.represent_as(StdDevUncertainty).quantity
    if deviation.unit.is_equivalent(spectrum.flux.unit):
        deviation = deviation.to(spectrum.flux.unit)
    values = np.asarray(deviation.value, dtype=np.float64).reshape(-1)
    return values if values.size == pixels and np.any(np.isfinite(values) & (values > 0)) else None


def _unreadable(path: Path, problem: Exception) -> ObservationFormatError:
    text = " ".join(str(problem).partition("\n")[0].partition(", please")[0].split())[:200]  # no list of formats
    return ObservationFormatError(
        f"{path}: specutils cannot read it ({type(problem).__name__}: {text}); is it damaged, or of a format that "
        f"specutils does not know?"
    )
