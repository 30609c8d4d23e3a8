"""ESPaDOnS and NARVAL: the `.s` files of Libre-ESpRIT, and the FITS files that CFHT makes of the same reduction.

Donati et al. (1997), MNRAS 291, 658. A `.s` file has two lines of heading (the second: number of rows, and of columns
beside the wavelength), then wavelength, intensity, perhaps Stokes parameter and null spectra, and the error last. The
FITS file (cfht.hawaii.edu, OPERA: `*i.fits`, `*p.fits`) holds such columns as rows of an image, several times over,
with their names in keywords COL1, COL2, ...; the intensity that is not normalised is read, with wavelengths that were
corrected on telluric lines. Wavelengths are nm in air. Orders follow one another and overlap; they are merged here.
Neither says the velocity frame.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS, hdu_at, opened_fits
from starnet_hpc.observations.orders import Pixels, merge_orders, order_starts
from starnet_hpc.observations.spectrum import FRAMES, Glimpse, ObservedSpectrum, check_observation
from starnet_hpc.observations.textfile import number_columns, text_lines

_ANGSTROM_PER_NM = 10.0
_HEADING = 2
_KEPT = ("OBJECT", "INSTRUME", "SPECSYS", "DATE-OBS", "PIPELINE", "REDUCTIO")
_MERGED = "overlapping orders merged"


class Espadons:
    """Reader of `.s` files and of CFHT's FITS files."""

    format = "espadons"
    endings = (".s", ".s.gz", *FITS_ENDINGS)

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether there is an image whose rows have names, or text whose second line announces the columns below it."""
        if glimpse.hdus is not None:
            header = glimpse.hdus[0].header
            return header.get("NAXIS") == 2 and str(header.get("COL1", "")).strip() == "Wavelength"
        lines = glimpse.head.decode("utf-8", errors="replace").splitlines()
        counts = _rows_and_columns(lines[1]) if len(lines) > _HEADING else None
        return counts is not None and len(lines[_HEADING].split()) == counts[1] + 1

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; pixels without flux (exactly 0) or without error are marked bad.

        Raises:
            ObservationFormatError: the file is damaged, or of another format.
            MissingInputError: there is no such file.
        """
        if path.name.lower().endswith(FITS_ENDINGS):
            columns, extra = _fits_columns(path)
        else:
            columns, extra = _text_columns(path)
        wavelength, flux, error = columns
        pixels = Pixels(wavelength * _ANGSTROM_PER_NM, flux, error, ~np.isfinite(flux) | (flux == 0) | ~(error > 0))
        starts = order_starts(pixels.wavelength)
        if len(starts) > 1:
            pixels = merge_orders(pixels, starts, path)
        spectrum = ObservedSpectrum(
            wavelength=pixels.wavelength,
            flux=pixels.flux,
            error=pixels.error,
            bad=pixels.bad,
            snr=None,
            identifier=extra.get("OBJECT", ""),
            frame=FRAMES.get(extra.get("SPECSYS", "").upper()),
            source=path.name,
            medium="air",
            remarks=(_MERGED,) if len(starts) > 1 else (),
            extra=extra,
        )
        return check_observation(spectrum, path)


def _text_columns(path: Path) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return wavelength, flux and error [3, n] of a `.s` file, and what its heading says."""
    lines = text_lines(path)
    counts = _rows_and_columns(lines[1]) if len(lines) > _HEADING else None
    if counts is None:
        raise ObservationFormatError(
            f"{path}: line 2 should be the numbers of rows and of columns beside the wavelength; is it a .s file of "
            f"Libre-ESpRIT? (Other text files: survey.format: text)"
        )
    values = number_columns(lines, _HEADING, None, path)
    rows, columns = counts
    if values.shape[0] != rows:
        raise ObservationFormatError(
            f"{path}: line 2 announces {rows} rows, but there are {values.shape[0]}; is it cut off? Copy it again"
        )
    if values.shape[1] != columns + 1 or columns < 2:
        raise ObservationFormatError(
            f"{path}: line 2 announces {columns} columns beside the wavelength, line 3 has {values.shape[1] - 1}; "
            f"expected at least intensity and error"
        )
    name = lines[0].partition("'")[2].partition("'")[0].strip()
    return values[:, [0, 1, -1]].T, {"OBJECT": name} if name else {}


def _rows_and_columns(line: str) -> tuple[int, int] | None:
    words = line.split()
    if len(words) != 2 or not all(word.isdecimal() and len(word) < 10 for word in words):
        return None
    return int(words[0]), int(words[1])


def _fits_columns(path: Path) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return wavelength, flux and error [3, n] of a FITS file, and what its header says."""
    with opened_fits(path, ObservationFormatError) as hdus:
        image = hdu_at(hdus, 0, path, ObservationFormatError)
        if image.data is None or image.data.ndim != 2:
            raise ObservationFormatError(
                f"{path}: HDU 0 should hold an image of named rows, but has shape {image.shape}"
            )
        chosen = _rows_of(image.header, image.data.shape[0], path)
        values: NDArray[np.float64] = image.data[chosen].astype(np.float64)
        extra = {key: str(image.header[key]).strip() for key in _KEPT if key in image.header}
    return values, extra


def _rows_of(header: Any, count: int, path: Path) -> list[int]:
    """Return the rows of wavelength, intensity and error that belong together and are preferred."""
    sets: list[tuple[str, list[int]]] = []
    for row in range(count):
        key = f"COL{row + 1}"
        name = str(header.get(key, "")).strip()
        if name == "Wavelength":
            sets.append((str(header.comments[key]), [row]))
        elif name in ("Intensity", "ErrorBar") and sets and len(sets[-1][1]) == (1 if name == "Intensity" else 2):
            sets[-1][1].append(row)
    whole = [(comment.lower(), rows) for comment, rows in sets if len(rows) == 3]
    if not whole:
        raise ObservationFormatError(
            f"{path}: keywords COL1 to COL{count} do not name a Wavelength, an Intensity and an ErrorBar; "
            f"is it another product (an *i.fits or *p.fits is read)?"
        )
    corrected = [rows for comment, rows in whole if "unnormalized" in comment and "no autowave" not in comment]
    return corrected[0] if corrected else whole[0][1]
