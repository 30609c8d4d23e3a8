"""INTRIGOSS: one FITS file a spectrum, labels in the primary header, samples in the table of HDU 1.

Franchini et al. (2018), ApJ 862, 146. 4830-5400 A in air; the fluxes are at the stellar surface. A third column, which
the archive's files lack, may hold the true continuum in the unit of the flux.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError
from starnet_hpc.grids.fitsfile import (
    column,
    find_column,
    fits_files,
    foreign_errors,
    hdu_at,
    number,
    opened_fits,
    write_fits,
)
from starnet_hpc.grids.plaintable import plain_columns
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template
from starnet_hpc.labels import GRID_LABELS

_KEYWORDS = {"teff": "TEFF", "logg": "LOG_G", "feh": "FEH", "afe": "ALPHA"}
_MICROTURBULENCE = "VT"
_WAVELENGTH, _FLUX, _CONTINUUM = "wavelength", "surface_flux", "continuum"
_ANGSTROM = {"", "angstrom", "angstroms", "a", "aa", "0.1 nm", "0.1nm"}


class Intrigoss:
    """Reader of INTRIGOSS files; `off_grid_spectra/` and other subfolders are grids of their own."""

    format = "intrigoss"

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return all four labels: the grid varies them."""
        return GRID_LABELS

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the FITS files in a folder, sorted by name."""
        return [TemplateSource(path) for path in fits_files(folder, GridFormatError, "grid.path")]

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return nothing: all is in the spectra's own files."""
        return []

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a file, all of it: the files are short.

        Raises:
            GridFormatError: the file is damaged, or is no INTRIGOSS file.
            MissingInputError: there is no such file.
        """
        path = source.path
        with foreign_errors(path, GridFormatError):
            plain = plain_columns(path, (_WAVELENGTH, _FLUX), optional=_CONTINUUM)
            if plain is not None:
                wavelength, flux = plain.values
                return _template(source, plain.header, wavelength, flux, plain.optional, plain.units[0])
        with opened_fits(path, GridFormatError) as hdus:
            table = hdu_at(hdus, 1, path, GridFormatError)
            wavelength = column(table, (_WAVELENGTH,), path, GridFormatError)
            flux = column(table, (_FLUX,), path, GridFormatError)
            known = find_column(table, (_CONTINUUM,)) is not None
            continuum = column(table, (_CONTINUUM,), path, GridFormatError) if known else None
            unit = str(table.columns[find_column(table, (_WAVELENGTH,))].unit or "")
            return _template(source, hdus[0].header, wavelength, flux, continuum, unit)


def write_intrigoss(folder: Path, template: TemplateSpectrum, *, overwrite: bool = False) -> Path:
    """Write a template as an INTRIGOSS file and return its path; the name is made from the rounded labels.

    Args:
        folder: an existing folder.
        template: with all four grid labels; `extra["vmicro"]` [km/s] is 1 if absent; its continuum goes with it.
        overwrite: replace a file of the same name instead of refusing to.

    Raises:
        GridFormatError: the template is not one, or a file of this name is there.
        StorageFullError: the disk or the quota is full.
    """
    vmicro = template.extra.get("vmicro", 1.0)
    path = folder / _file_name(template.labels, vmicro)
    check_template(template, path)
    if path.exists() and not overwrite:
        raise GridFormatError(
            f"{path}: is there already; templates whose rounded labels agree cannot share a folder "
            f"(write into an empty one, or pass overwrite=True)"
        )
    head = fits.PrimaryHDU()
    for name, key in _KEYWORDS.items():
        head.header[key] = float(template.labels[name])
    head.header[_MICROTURBULENCE] = float(vmicro)
    columns = [
        fits.Column(_WAVELENGTH, "D", "Angstrom", array=template.wavelength),
        fits.Column(_FLUX, "E" if template.flux.dtype == np.float32 else "D", array=template.flux),
    ]
    if template.continuum is not None:
        columns.append(fits.Column(_CONTINUUM, "E", array=template.continuum.astype(np.float32)))
    write_fits(path, [head, fits.BinTableHDU.from_columns(columns)])
    return path


def _template(
    source: TemplateSource,
    header: Any,
    wavelength: NDArray[np.float64],
    flux: NDArray[np.float64],
    continuum: NDArray[np.float64] | None,
    unit: str,
) -> TemplateSpectrum:
    path = source.path
    labels = {name: number(header, key, path, GridFormatError) for name, key in _KEYWORDS.items()}
    has_vmicro = _MICROTURBULENCE in header
    extra = {"vmicro": number(header, _MICROTURBULENCE, path, GridFormatError)} if has_vmicro else {}
    if unit.strip().lower() not in _ANGSTROM:
        raise GridFormatError(
            f"{path}: column {_WAVELENGTH} is in {unit!r}; INTRIGOSS files are in Angstrom: "
            f"convert it, or the grid to grid.format: table"
        )
    return check_template(TemplateSpectrum(wavelength, flux, labels, source.name, extra, continuum=continuum), path)


def _file_name(labels: Mapping[str, float], vmicro: float) -> str:
    """Return the name that INTRIGOSS gives a spectrum, such as alpp050_am100_t4000g10_v1_f.fits."""
    alpha, iron = (_hundredths(labels[name]) for name in ("afe", "feh"))
    gravity = round(labels["logg"] * 10)
    return f"alp{alpha}_a{iron}_t{round(labels['teff'])}g{gravity:02d}_v{max(1, round(vmicro))}_f.fits"


def _hundredths(value: float) -> str:
    hundred = round(value * 100)
    return f"{'m' if hundred < 0 else 'p'}{abs(hundred):03d}"
