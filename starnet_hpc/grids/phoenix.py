"""PHOENIX-ACES HiRes: one FITS image of fluxes a spectrum, and one file of vacuum wavelengths for all.

Husser et al. (2013), A&A 553, A6. 500-55000 A. R = 500,000 between 3000 and 25000 A is the distance of the samples,
not a smoothing: the templates count as unsmoothed. Fluxes are per centimetre of wavelength in the files; they are
handed over per angstrom, as INTRIGOSS has them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids.fitsfile import foreign_errors, hdu_at, number, opened_fits
from starnet_hpc.grids.folders import file_state, listed_files
from starnet_hpc.grids.plaintable import plain_image
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template, part_inside
from starnet_hpc.kernels.refraction import vacuum_to_air
from starnet_hpc.labels import GRID_LABELS

WAVELENGTH_FILE = "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits"

_KEYWORDS = {"teff": "PHXTEFF", "logg": "PHXLOGG", "feh": "PHXM_H", "afe": "PHXALPHA"}
_MICROTURBULENCE = "PHXXI_L"
_PER_ANGSTROM = 1e-8
_NAME = re.compile(
    r"lte(?P<teff>\d{5})-(?P<logg>\d\.\d+)(?P<feh>[+-]\d\.\d)(?:\.Alpha=(?P<afe>[+-]\d\.\d+))?\..*HiRes\.fits(?:\.gz)?"
)
_ROUNDING = {"teff": 0.51, "logg": 0.0051, "feh": 0.051, "afe": 0.0051}
"""How far the labels in a name may be from those in the header."""
_LEVELS = 3
"""The wavelengths lie beside the spectra, or up to two folders above (as on the archive's server)."""


class Phoenix:
    """Reader of a folder of HiRes files with its subfolders (`Z-0.0`, `Z-1.0.Alpha=+0.40`), which are one grid."""

    format = "phoenix"

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return all four labels: the grid varies them."""
        return GRID_LABELS

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the spectra in a folder and in those below it, sorted by name."""
        what = "PHOENIX spectrum (lte*HiRes.fits)"
        files = listed_files(folder, _is_spectrum, what, GridFormatError, "grid.path", depth=_LEVELS - 1)
        return [TemplateSource(path) for path in files]

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return the files of wavelengths."""
        firsts = {source.path.parent: source.path for source in sources}
        return sorted({_wavelength_file(path) for path in firsts.values()})

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a file, and of it only the samples about the window.

        Raises:
            GridFormatError: the file is damaged, or is no PHOENIX file, or does not fit the wavelengths.
            MissingInputError: there is no such file, or no file of wavelengths.
        """
        path = source.path
        wavelengths = _wavelength_file(path)
        wavelength = _air_wavelengths(wavelengths, *file_state(wavelengths))
        part = part_inside(wavelength, window)
        header, count, flux = _image(path, part)
        if count != wavelength.size:
            raise GridFormatError(
                f"{path}: has {count} fluxes, but {WAVELENGTH_FILE} has {wavelength.size} wavelengths: they "
                f"are of different versions, or one is damaged; get both again"
            )
        labels = {name: number(header, key, path, GridFormatError) for name, key in _KEYWORDS.items()}
        _check_name(path, labels)
        extra = {}
        if _MICROTURBULENCE in header:
            extra["vmicro"] = number(header, _MICROTURBULENCE, path, GridFormatError)
        template = TemplateSpectrum(wavelength[part], flux * _PER_ANGSTROM, labels, source.name, extra)
        return check_template(template, path)


def _is_spectrum(name: str) -> bool:
    return name.startswith("lte") and name.removesuffix(".gz").endswith("HiRes.fits")


def _check_name(path: Path, labels: dict[str, float]) -> None:
    """Refuse a file whose name, if it is one of the archive's, says other labels than its header."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return
    for name, value in labels.items():
        told = float(found[name] or 0.0)
        if abs(told - value) > _ROUNDING[name]:
            raise GridFormatError(
                f"{path}: the name says {name} = {told:g}, the header {value:g} ({_KEYWORDS[name]}); was it renamed? "
                f"Get the file again"
            )


def _image(path: Path, part: slice) -> tuple[Any, int, NDArray[Any]]:
    """Return the header of HDU 0, the number of its samples, and some of these."""
    with foreign_errors(path, GridFormatError):
        plain = plain_image(path, part)
        if plain is not None:
            return plain.header, plain.count, plain.values
    with opened_fits(path, GridFormatError) as hdus:
        hdu = hdu_at(hdus, 0, path, GridFormatError)
        data = hdu.data
        if data is None or np.ndim(data) != 1:
            shape = "nothing" if data is None else f"an array of shape {np.shape(data)}"
            raise GridFormatError(f"{path}: HDU 0 should hold one row of numbers, but holds {shape}: another format?")
        return hdus[0].header, int(data.size), np.asarray(data[part], dtype=data.dtype.newbyteorder("="))


def _wavelength_file(path: Path) -> Path:
    for folder in list(path.parents)[:_LEVELS]:
        if (found := folder / WAVELENGTH_FILE).exists():
            return found
    raise MissingInputError(
        f"{path}: there is no {WAVELENGTH_FILE} beside it or in the {_LEVELS - 1} folders above; the spectra hold "
        f"fluxes only: get that file from the same archive, and put it into grid.path"
    )


@lru_cache(maxsize=2)
def _air_wavelengths(path: Path, size: int, modified: int) -> NDArray[np.float64]:
    """Return the wavelengths [n] of a file that has this size and time."""
    with opened_fits(path, GridFormatError) as hdus:
        hdu = hdu_at(hdus, 0, path, GridFormatError)
        unit = str(hdu.header.get("UNIT", hdu.header.get("BUNIT", "Angstrom")))
        vacuum = np.empty(0) if hdu.data is None else np.asarray(hdu.data, dtype=np.float64)
    if vacuum.ndim != 1 or unit.strip().lower() not in ("angstrom", "angstroms", "a"):
        raise GridFormatError(f"{path}: should hold one row of wavelengths in Angstrom, has {vacuum.shape} in {unit!r}")
    odd = np.flatnonzero(~(np.diff(vacuum) > 0))
    if odd.size or vacuum.size == 0:
        place = f"wavelength[{odd[0] + 1}] is not above wavelength[{odd[0]}]" if odd.size else "it holds none"
        raise GridFormatError(f"{path}: wavelengths must increase, but {place}; get the file again")
    air = vacuum_to_air(vacuum)
    air.setflags(write=False)
    return air
