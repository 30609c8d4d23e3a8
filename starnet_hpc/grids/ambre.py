"""AMBRE: one text file a spectrum, labels in its name; and the same library as POLLUX hands it out.

de Laverny et al. (2012), A&A 544, A126; POLLUX: Palacios et al. (2010), A&A 516, A13. 3000-12000 A in air, 900,001
lines of 0.01 A: wavelength, flux over continuum, and last the flux itself. Nothing was smoothed: the templates are as
sharp as they are sampled.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError
from starnet_hpc.grids import pollux
from starnet_hpc.grids.folders import listed_files
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template
from starnet_hpc.grids.textfile import read_columns
from starnet_hpc.labels import GRID_LABELS

_SUFFIX = ".AMBRE"
_COLUMNS = (3, 4, 5, 6)
_NAME = re.compile(
    r"[ps](?P<teff>\d{4,5})[:_]g(?P<logg>[+-]\d+\.\d+)[:_]m\d+\.\d+[:_]t(?P<vmicro>\d+)"
    r"[:_]z(?P<feh>[+-]\d+\.\d+)[:_]a(?P<afe>[+-]\d+\.\d+)"
)
_EXAMPLE = "p5000:g+4.0:m0.0:t01:z-0.50:a+0.20.AMBRE"


class Ambre:
    """Reader of `*.AMBRE` files, and of POLLUX's `*.spec` with or without their `*.spec.txt`."""

    format = "ambre"

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return all four labels: the grid varies them."""
        return GRID_LABELS

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the files of both kinds in a folder, sorted by name."""
        what = f"AMBRE file (*{_SUFFIX}, or *{pollux.SUFFIX} from POLLUX)"
        files = listed_files(folder, _is_spectrum, what, GridFormatError, "grid.path")
        return [TemplateSource(path) for path in files]

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return POLLUX's files of keywords."""
        beside = (pollux.keyword_file(source.path) for source in sources if source.path.name.endswith(pollux.SUFFIX))
        return [path for path in beside if path.exists()]

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a file, and of a long one only the lines about the window.

        Raises:
            GridFormatError: the file is damaged, or its name does not say the labels.
            MissingInputError: there is no such file.
        """
        if source.path.name.endswith(pollux.SUFFIX):
            return pollux.read(source, window)
        found = _NAME.match(source.path.name)
        if found is None:
            raise GridFormatError(
                f"{source.path}: the name does not say the labels as {_EXAMPLE} does; give it the archive's name again"
            )
        values = {name: float(text) for name, text in found.groupdict().items()}
        columns = read_columns(source.path, _COLUMNS, window)
        wavelength, normalised, flux = columns[:, 0], columns[:, 1], columns[:, -1]
        return check_template(
            TemplateSpectrum(
                wavelength,
                flux,
                {name: values[name] for name in GRID_LABELS},
                source.name,
                {"vmicro": values["vmicro"]},
                continuum=continuum_from(flux, normalised),
            ),
            source.path,
        )


def continuum_from(flux: NDArray[np.float64], normalised: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the continuum [n] that a flux [n] and the flux over its continuum [n] share; None if they do not.

    Where the normalised flux is rounded to nothing, the continuum is interpolated over the samples.
    """
    good = (normalised > 0) & np.isfinite(normalised) & np.isfinite(flux)
    if not good.any():
        return None
    at = np.flatnonzero(good)
    quotient = flux[at] / normalised[at]
    return quotient if at.size == flux.size else np.interp(np.arange(flux.size), at, quotient)


def _is_spectrum(name: str) -> bool:
    return name.endswith((_SUFFIX, pollux.SUFFIX))
