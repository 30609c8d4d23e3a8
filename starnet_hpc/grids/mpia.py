"""The MPIA's NLTE tool: one text file a spectrum, `*_N` in NLTE and its twin `*_L` in LTE.

Kovalev et al. (2018), http://nlte.mpia.de. Of the lines marked `#` the second has Teff, log g, [Fe/H], micro- and
macroturbulence and v sin i, and one has atomic numbers and, behind a colon, abundances [X/Fe]. Then come wavelength
(angstrom in air) and flux.
"""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids.folders import listed_files
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template
from starnet_hpc.grids.textfile import comment_lines, read_columns
from starnet_hpc.labels import ELEMENT_LABELS, ordered

_LABELS_LINE = 2
_PARAMETERS = ("teff", "logg", "feh", "vmicro", "vmacro", "vsini")
_ABUNDANCES = re.compile(r"^(\d+(?:\s+\d+)*)\s*:\s*(.*\S)\s*$")
_ASKED = 200
_EQUAL = 1e-3
"""Abundances that agree within this [dex] are one [alpha/Fe]."""


class Mpia:
    """Reader of one of the twins; a folder may hold both, and the other is passed over."""

    def __init__(self, grid_format: str, suffix: str) -> None:
        """Read files with this ending under this name of a format."""
        self.format = grid_format
        self._suffix = suffix

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return Teff, log g, [Fe/H], and [alpha/Fe] if abundances are equal in each of the files, else the elements.

        Not all files are asked, but enough that a grid with single elements is not taken for one without.
        """
        sources = self.sources(folder)
        names: set[str] = {"afe"}
        for source in sources[:: max(1, len(sources) // _ASKED)]:
            with suppress(GridFormatError, MissingInputError):  # whoever reads the file says what is wrong with it
                abundances = _abundances(comment_lines(source.path)[0], source.path)
                if "afe" not in abundances:
                    names = set(abundances)
                    break
        return ordered(["teff", "logg", "feh", *names])

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the files of this twin in a folder, sorted by name."""
        other = "mpia_lte" if self._suffix == "_N" else "mpia_nlte"
        what = f"MPIA spectrum (*{self._suffix}; grid.format: {other} reads the other twin)"
        files = listed_files(folder, lambda name: name.endswith(self._suffix), what, GridFormatError, "grid.path")
        return [TemplateSource(path) for path in files]

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return nothing: all is in the spectra's own files."""
        return []

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a file.

        Raises:
            GridFormatError: the file is damaged, or is no MPIA file.
            MissingInputError: there is no such file.
        """
        path = source.path
        header, start = comment_lines(path)
        values = dict(zip(_PARAMETERS, _parameters(header, path), strict=True))
        columns = read_columns(path, (2,), window, start)
        labels = {name: values.pop(name) for name in ("teff", "logg", "feh")} | _abundances(header, path)
        return check_template(TemplateSpectrum(columns[:, 0], columns[:, 1], labels, source.name, values), path)


def _parameters(header: Sequence[str], path: Path) -> list[float]:
    if len(header) < _LABELS_LINE:
        raise GridFormatError(f"{path}: begins with {len(header)} lines marked #, not with a header of the MPIA's tool")
    line = header[_LABELS_LINE - 1]
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != len(_PARAMETERS):
        raise GridFormatError(
            f"{path}: line {_LABELS_LINE} should hold {len(_PARAMETERS)} numbers (Teff, log g, [Fe/H], vmic, vmac, "
            f"vsini), but is {line[:60]!r}: of another format, or damaged"
        )
    return values


def _abundances(header: Sequence[str], path: Path) -> dict[str, float]:
    """Return [X/Fe] by the names of the elements' labels, and as `afe` what they all share, if they do."""
    found = [(number, match) for number, line in enumerate(header, 1) if (match := _ABUNDANCES.match(line))]
    if len(found) != 1:
        raise GridFormatError(
            f"{path}: {len(found)} header lines look like '# 8 12 14 20 22 : 0.25 0.25 0.25 0.25 0.25' (atomic "
            f"numbers, abundances), expected one; get the file again"
        )
    number, match = found[0]
    elements = [int(word) for word in match[1].split()]
    try:
        values = [float(word) for word in match[2].split()]
    except ValueError:
        values = []
    if len(values) != len(elements) or not all(map(math.isfinite, values)):
        raise GridFormatError(
            f"{path}: line {number} has {len(elements)} atomic numbers, but {match[2][:60]!r} for their abundances"
        )
    if max(values) - min(values) <= _EQUAL:
        known = {ELEMENT_LABELS[element]: values[0] for element in elements if element in ELEMENT_LABELS}
        return {"afe": values[0], **known}
    unknown = [element for element in elements if element not in ELEMENT_LABELS]
    if unknown:
        raise GridFormatError(
            f"{path}: line {number}: there is no label for the element with atomic number {unknown[0]}; "
            f"labels are {', '.join(ELEMENT_LABELS.values())}"
        )
    return {ELEMENT_LABELS[element]: value for element, value in zip(elements, values, strict=True)}
