"""Spectra in text files: columns of wavelength, flux and, where known, error. iSpec's text files are among them.

- Columns stand apart by white space, commas or semicolons. What follows `#` is a comment.
- A line above the numbers (a comment or not) may name them: `wavelength flux error`, with the unit as `wavelength [nm]`
  or `wave_nm`, and the medium as `wave_air` or `wave_vac`. Without names, two columns are wavelength and flux, and a
  third one is the error.
- `waveobs flux err` is iSpec's (Blanco-Cuaresma et al. 2014, A&A 569, A111): nm in air.
- Without a unit, wavelengths are angstrom, or nm if they lie between 100 and 1,000, where no angstrom of ours can be.
- Comments `# medium: air`, `# frame: barycentric`, `# unit: nm`, `# snr: 80`, `# object: HD 1` say what they say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.observations.orders import Pixels, merge_orders, order_starts
from starnet_hpc.observations.spectrum import Frame, Glimpse, Medium, ObservedSpectrum, check_observation
from starnet_hpc.observations.textfile import is_number, number_columns, text_lines
from starnet_hpc.observations.units import angstrom_per

_NAMES: Mapping[str, tuple[str, ...]] = {
    "wavelength": ("waveobs", "wavelength", "wave", "lambda", "lam", "wl"),
    "flux": ("flux", "intensity", "flux_norm", "norm_flux", "normalised_flux", "normalized_flux"),
    "error": ("err", "error", "sigma", "flux_err", "flux_error", "err_flux", "error_flux", "e_flux", "uncertainty"),
    "quality": ("qual", "quality"),
}
_MEDIA: Mapping[str, Medium] = {"air": "air", "vacuum": "vacuum", "vac": "vacuum"}
_FRAMES: Mapping[str, Frame] = {"rest": "rest", "barycentric": "barycentric", "topocentric": "topocentric"}
_ISPEC = "waveobs"
_COMMENT = re.compile(r"#+\s*(medium|frame|unit|snr|object)\s*[:=]\s*(\S.*?)\s*$", re.IGNORECASE)
_NAME_AND_UNIT = re.compile(r"([^\s,;\[\](]+)\s*(?:[\[(]\s*([^\])]*?)\s*[\])])?")
_BLANK = re.compile(r"(\w) +(\w)")
_NANOMETRES = (100.0, 1_000.0)
_Said = TypeVar("_Said", bound=str)


@dataclass
class _Columns:
    """What the lines above the numbers say."""

    first: int = 0
    """Index of the first line of numbers."""
    delimiter: str | None = None
    count: int = 0
    """Columns in that line."""
    place: dict[str, int] = field(default_factory=dict)
    """Column of wavelength, flux, error, quality; empty if no line names them."""
    unit: str = ""
    medium: Medium | None = None
    said: dict[str, str] = field(default_factory=dict)
    """Comments of the form `key: value`."""


class Text:
    """Reader of text files."""

    format = "text"
    endings = (".txt", ".dat", ".asc", ".ascii", ".csv", ".tsv", ".txt.gz", ".dat.gz", ".s.gz", ".s")

    def recognises(self, glimpse: Glimpse) -> bool:
        """Whether the first line that is no comment and no heading begins with two numbers."""
        if glimpse.hdus is not None or b"\0" in glimpse.head:
            return False
        lines = glimpse.head.decode("utf-8-sig", errors="replace").splitlines()
        return _first_numbers(lines) is not None

    def read(self, path: Path) -> ObservedSpectrum:
        """Return the spectrum in a file; pixels without flux (exactly 0) or without a number are marked bad.

        Raises:
            ObservationFormatError: the file is damaged, or its columns are not known.
            MissingInputError: there is no such file.
        """
        lines = text_lines(path)
        columns = _columns(lines, path)
        values = number_columns(lines, columns.first, columns.delimiter, path)
        place = columns.place or _places_without_names(values.shape[1], path)
        wavelength, remarks = _angstrom(values[:, place["wavelength"]], columns, path)
        flux = values[:, place["flux"]]
        error = values[:, place["error"]] if "error" in place else None
        bad = ~np.isfinite(flux) | (flux == 0)
        if "quality" in place:
            bad |= values[:, place["quality"]] != 0
        if error is not None and not np.any(error > 0):
            error = None
        if error is not None and len(starts := order_starts(wavelength)) > 1:
            merged = merge_orders(Pixels(wavelength, flux, error, bad), starts, path)
            wavelength, flux, error, bad = merged.wavelength, merged.flux, merged.error, merged.bad
            remarks += ("overlapping orders merged",)
        spectrum = ObservedSpectrum(
            wavelength=wavelength,
            flux=flux,
            error=error,
            bad=bad,
            snr=_snr(columns.said, path),
            identifier=columns.said.get("object", ""),
            frame=_word(columns.said, "frame", _FRAMES, path),
            source=path.name,
            medium=columns.medium,
            remarks=remarks,
        )
        return check_observation(spectrum, path)


def _first_numbers(lines: list[str]) -> int | None:
    """Return the index of the first line with two numbers, if only comments and one heading stand before it."""
    headings = 0
    for number, line in enumerate(lines):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        words = text.split(_delimiter(text))
        if len(words) >= 2 and is_number(words[0]) and is_number(words[1]):
            return number
        headings += 1
        if headings > 1:
            return None
    return None


def _delimiter(line: str) -> str | None:
    return next((mark for mark in ",;" if mark in line), None)


def _columns(lines: list[str], path: Path) -> _Columns:
    first = _first_numbers(lines)
    if first is None:
        raise ObservationFormatError(
            f"{path}: is no table of numbers: below comments (#) and one heading, lines should begin with wavelength "
            f"and flux"
        )
    numbers = lines[first].partition("#")[0]
    columns = _Columns(first, _delimiter(numbers), len(numbers.split(_delimiter(numbers))))
    for line in lines[:first]:
        if comment := _COMMENT.match(line.strip()):
            columns.said[comment[1].lower()] = comment[2]
    for line in reversed(lines[:first]):  # the nearest heading is meant
        if _understand_heading(line, columns, path):
            break
    columns.unit = columns.said.get("unit", columns.unit)
    columns.medium = _word(columns.said, "medium", _MEDIA, path) or columns.medium
    return columns


def _understand_heading(line: str, columns: _Columns, path: Path) -> bool:
    """Take columns, unit and medium from a line that names as many columns as there are; say whether it does.

    Raises:
        ObservationFormatError: a line that is no comment names something else.
    """
    place: dict[str, int] = {}
    names = _names(line, columns.delimiter)
    for number, (name, unit) in enumerate(names):
        meaning, words = _meaning(name)
        if meaning is None or meaning in place:
            continue
        place[meaning] = number
        if meaning == "wavelength":
            named = next((word for word in words if angstrom_per(word)), "nm" if name == _ISPEC else "")
            medium: Medium | None = "air" if name == _ISPEC else None
            columns.unit = unit or named
            columns.medium = next((_MEDIA[word] for word in words if word in _MEDIA), medium)
    if len(names) == columns.count and "wavelength" in place and "flux" in place:
        columns.place = place
        return True
    columns.unit, columns.medium = "", None
    if line.strip() and not line.strip().startswith("#"):
        raise ObservationFormatError(
            f"{path}: the heading {line.strip()[:60]!r} does not name the {columns.count} columns below it, wavelength "
            f"and flux among them; write it as `wavelength [nm] flux error`"
        )
    return False


def _names(line: str, delimiter: str | None) -> list[tuple[str, str]]:
    """Return name and unit of each column in a heading."""
    text = line.strip().lstrip("#").strip().replace('"', "").lower()
    if delimiter is None or delimiter not in text:
        return _NAME_AND_UNIT.findall(text)
    cells = [_NAME_AND_UNIT.fullmatch(_BLANK.sub(r"\1_\2", cell.strip())) for cell in text.split(delimiter)]
    return [(cell[1], cell[2] or "") if cell else ("", "") for cell in cells]


def _meaning(name: str) -> tuple[str | None, list[str]]:
    """Return what a column's name stands for, and the words (unit, medium) that hang on it."""
    for meaning, names in _NAMES.items():
        if name in names:
            return meaning, []
    base, *words = name.split("_")
    if base in _NAMES["wavelength"] and all(word in _MEDIA or angstrom_per(word) for word in words):
        return "wavelength", words
    return None, []


def _places_without_names(count: int, path: Path) -> dict[str, int]:
    if count not in (2, 3):
        raise ObservationFormatError(
            f"{path}: has {count} columns without names; name them in a line above the numbers, such as "
            f"`# wavelength [nm] flux error`"
        )
    return {name: place for place, name in enumerate(("wavelength", "flux", "error")[:count])}


def _angstrom(
    values: NDArray[np.float64], columns: _Columns, path: Path
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return wavelengths in angstrom, and what should be said about their unit."""
    if columns.unit:
        factor = angstrom_per(columns.unit)
        if factor is None:
            raise ObservationFormatError(
                f"{path}: the unit of wavelength is {columns.unit!r}, expected nm, angstrom or um; correct the heading"
            )
        return values * factor, ()
    low, high = _NANOMETRES
    if np.all((values >= low) & (values <= high)):
        return values * 10.0, ("wavelengths taken as nm, since no unit is named and they lie between 100 and 1000",)
    return values, ("wavelengths taken as angstrom, since no unit is named",)


def _word(said: Mapping[str, str], key: str, meanings: Mapping[str, _Said], path: Path) -> _Said | None:
    """Return what a comment says, None if there is no such comment."""
    if key not in said:
        return None
    if said[key].lower() not in meanings:
        raise ObservationFormatError(f"{path}: comment `{key}: {said[key]}`: expected {' or '.join(meanings)}")
    return meanings[said[key].lower()]


def _snr(said: Mapping[str, str], path: Path) -> float | None:
    if "snr" not in said:
        return None
    if not is_number(said["snr"]) or not 0 < float(said["snr"]) < np.inf:
        raise ObservationFormatError(f"{path}: comment `snr: {said['snr']}`: expected a positive number")
    return float(said["snr"])
