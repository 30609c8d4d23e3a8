"""ESO science data products (Phase 3): one row of vectors WAVE, FLUX, ERR, QUAL in the binary table of HDU 1.

Layout: ESO Science Data Products Standard, one-dimensional spectra; https://www.eso.org/sci/observing/phase3.html. The
column's UCD tells air (`em.wl;obs.atmos`) from vacuum (`em.wl`); without one, air is meant, as in Gaia-ESO's spectra.
SPECSYS tells the velocity frame; UVES products are often topocentric, with the way to the barycentre in
ESO QC VRAD BARYCOR.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS, column, find_column, hdu_at, number, opened_fits, write_fits
from starnet_hpc.observations.spectrum import FRAMES, Frame, Glimpse, Medium, ObservedSpectrum, check_observation
from starnet_hpc.observations.units import angstrom_per

_WAVELENGTH = ("WAVE", "WAVELENGTH", "LAMBDA")
_FLUXES = (("FLUX", ("ERR", "ERROR")), ("FLUX_REDUCED", ("ERR_REDUCED",)))
"""Columns of flux in order of preference, each with the columns that may hold its error."""
_QUALITY = ("QUAL", "QUALITY")
_AIR, _VACUUM = "em.wl;obs.atmos", "em.wl"
_BARYCENTRIC_VELOCITY = ("ESO QC VRAD BARYCOR", "ESO DRS BERV")
_SPECSYS = {"barycentric": "BARYCENT", "rest": "SOURCE", "topocentric": "TOPOCENT"}
_KEPT = ("INSTRUME", "OBJECT", "GES_TYPE", "SPECSYS", "PROG_ID", "MJD-OBS", "DATE-OBS")


class EsoSdp:
    """Reader of ESO's one-dimensional spectra."""

    format = "eso"
    endings = FITS_ENDINGS

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether HDU 1 is a table with a column of wavelengths and one of fluxes."""
        if glimpse.hdus is None or len(glimpse.hdus) < 2:
            return False
        table = glimpse.hdus[1]
        fluxes = tuple(name for name, _ in _FLUXES)
        return find_column(table, _WAVELENGTH) is not None and find_column(table, fluxes) is not None

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file.

        Raises:
            ObservationFormatError: the file is damaged, or is no ESO spectrum.
            MissingInputError: there is no such file.
        """
        with opened_fits(path, ObservationFormatError) as hdus:
            table = hdu_at(hdus, 1, path, ObservationFormatError)
            wavelength = column(table, _WAVELENGTH, path, ObservationFormatError)
            factor, medium = _unit_and_medium(table, path)
            flux, error = _flux_and_error(table, path)
            bad = ~np.isfinite(flux) | (flux == 0)  # exactly 0 is how pipelines write "nothing here"
            if find_column(table, _QUALITY):
                bad |= _same_length(column(table, _QUALITY, path, ObservationFormatError), flux, path) != 0
            header = hdus[0].header
            snr = number(header, "SNR", path, ObservationFormatError) if "SNR" in header else None
            keys = [key for key in _BARYCENTRIC_VELOCITY if key in header]
            velocity = number(header, keys[0], path, ObservationFormatError) if keys else None
            extra = {key: str(header[key]).strip() for key in _KEPT if key in header}
            extra.setdefault("SPECSYS", str(table.header.get("SPECSYS", "")).strip())
        spectrum = ObservedSpectrum(
            wavelength=wavelength * factor,
            flux=flux,
            error=error,
            bad=bad,
            snr=snr if snr is not None and np.isfinite(snr) and snr > 0 else None,
            identifier=extra.get("OBJECT", ""),
            frame=FRAMES.get(extra["SPECSYS"].upper()),
            source=path.name,
            medium=medium,
            barycentric_kms=velocity,
            extra=extra,
        )
        return check_observation(spectrum, path)


def write_eso_sdp(
    path: Path,
    wavelength: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    *,
    error: NDArray[np.floating[Any]] | None = None,
    quality: NDArray[np.integer[Any]] | None = None,
    snr: float | None = None,
    object_name: str = "",
    frame: Frame | None = "barycentric",
    header: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write a spectrum as an ESO science data product, replacing a file that was there.

    Args:
        path: of the file.
        wavelength: pixel centres [n], angstrom in air; the file has nm.
        flux: [n].
        error: standard deviation of the flux [n].
        quality: [n], 0 is good.
        snr: signal-to-noise ratio a pixel.
        object_name: the star's name (OBJECT).
        frame: velocity frame (SPECSYS); None leaves it unsaid.
        header: further keywords of the primary header.

    Raises:
        StorageFullError: the disk or the quota is full.
    """
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = ("ESO", "layout of a Phase 3 product")
    primary.header["OBJECT"] = object_name
    primary.header["WAVELMIN"] = (float(wavelength[0]) / 10.0, "[nm]")
    primary.header["WAVELMAX"] = (float(wavelength[-1]) / 10.0, "[nm]")
    if snr is not None:
        primary.header["SNR"] = float(snr)
    if frame is not None:
        primary.header["SPECSYS"] = _SPECSYS[frame]
    primary.header.update(dict(header or {}))
    n = wavelength.size
    columns = [
        fits.Column("WAVE", f"{n}D", "nm", array=np.asarray(wavelength, dtype=np.float64)[None] / 10.0),
        fits.Column("FLUX", f"{n}E", array=np.asarray(flux, dtype=np.float32)[None]),
    ]
    if error is not None:
        columns.append(fits.Column("ERR", f"{n}E", array=np.asarray(error, dtype=np.float32)[None]))
    if quality is not None:
        columns.append(fits.Column("QUAL", f"{n}J", array=np.asarray(quality, dtype=np.int32)[None]))
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
    table.header["TUCD1"] = _AIR
    write_fits(path, [primary, table])


def _unit_and_medium(table: Any, path: Path) -> tuple[float, Medium]:
    """Return angstrom per unit of the wavelength column, and what its wavelengths are measured in."""
    place = [str(name).lower() for name in table.columns.names].index(str(find_column(table, _WAVELENGTH)).lower())
    described = table.columns[place]
    unit = str(described.unit or "").strip()
    factor = angstrom_per(unit)
    if factor is None:
        raise ObservationFormatError(
            f"{path}: column {described.name} has unit {unit!r}, expected nm or Angstrom; "
            f"correct keyword TUNIT{place + 1} of HDU 1"
        )
    kind = str(table.header.get(f"TUCD{place + 1}", "")).strip().lower()
    return factor, "vacuum" if kind == _VACUUM else "air"


def _flux_and_error(table: Any, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the flux that is preferred among those with any finite value other than 0, and its error."""
    there = [(name, errors) for name, errors in _FLUXES if find_column(table, (name,))]
    for name, errors in there:
        flux = column(table, (name,), path, ObservationFormatError)
        if not np.any(np.isfinite(flux) & (flux != 0)) and name != there[-1][0]:
            continue  # a column that the product has to have, but that nobody filled
        if find_column(table, errors) is None:
            return flux, None
        error = _same_length(column(table, errors, path, ObservationFormatError), flux, path)
        return flux, error if np.any(error > 0) else None
    names = " or ".join(name for name, _ in _FLUXES)
    raise ObservationFormatError(f"{path}: HDU 1 has no column {names}; columns: {', '.join(table.columns.names)}")


def _same_length(values: NDArray[np.float64], flux: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    if values.shape != flux.shape:
        raise ObservationFormatError(f"{path}: columns of HDU 1 have {flux.size} and {values.size} pixels")
    return values
