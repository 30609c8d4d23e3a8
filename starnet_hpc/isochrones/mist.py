"""MIST isochrones as their authors publish them, `.iso` and `.iso.cmd` (Choi et al. 2016, ApJ 823, 102).

A header with the composition (a line of names, `Yinit Zinit [Fe/H] [a/Fe] v/vcrit`, and a line of values); then for
each age `# number of EEPs, cols = ...`, a line with the numbers and one with the names of the columns, and the points.
"""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from starnet_hpc.errors import IsochroneFormatError
from starnet_hpc.isochrones.columns import Block, blocks, required
from starnet_hpc.isochrones.isochrone import Isochrone, checked

MARK = "MIST version"
"""Stands in the first lines of a file."""

_POINTS = re.compile(r"number of EEPs, cols\s*=\s*(\d+)")
_PHASES = (0, 5)
"""Main sequence to thermally pulsing AGB; less is before, more after it (6: post-AGB, 9: Wolf-Rayet)."""


def read_mist(path: Path, text: str) -> list[Isochrone]:
    """Return the isochrones of a file.

    Raises:
        IsochroneFormatError: it is not of this format.
    """
    found = blocks(path, text)
    feh = _metallicity(path, found[0].comments if found else ())
    return [checked(_isochrone(path, block, feh)) for block in found]


def _isochrone(path: Path, block: Block, feh: float) -> Isochrone:
    announced = [found[1] for line in block.comments if (found := _POINTS.match(line))]
    if announced and int(announced[-1]) != len(block.values):
        raise IsochroneFormatError(
            f"{path}: announces an isochrone of {announced[-1]} points, but has {len(block.values)}; it is truncated: "
            f"download it again"
        )
    years = block.column("isochrone_age_yr")
    if years is None:
        years = 10.0 ** required(path, block, "log10_isochrone_age_yr", "isochrone_age_yr")
    teff, logg = 10.0 ** required(path, block, "log_Teff"), required(path, block, "log_g")
    phase = block.column("phase")
    seen = np.ones(teff.size, dtype=bool) if phase is None else (phase >= _PHASES[0]) & (phase <= _PHASES[1])
    return Isochrone(path, "MIST", float(years[0]) / 1e9, feh, teff[seen], logg[seen])


def _metallicity(path: Path, comments: tuple[str, ...]) -> float:
    for names, values in pairwise(comments):
        if "[Fe/H]" in names.split() and len(names.split()) == len(values.split()):
            try:
                return float(values.split()[names.split().index("[Fe/H]")])
            except ValueError:
                break
    raise IsochroneFormatError(f"{path}: its header does not give [Fe/H] below a line of names; download it again")
