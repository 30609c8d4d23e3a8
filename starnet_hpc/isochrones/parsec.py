"""PARSEC isochrones as the CMD web interface writes them (Bressan et al. 2012; http://stev.oapd.inaf.it/cmd).

Up to CMD 2.8 every isochrone has a `# Isochrone Z = ...` line and columns `log(age/yr)`, `logTe`, `logG`, `stage`;
since CMD 3 there are columns `MH`, `logAge`, `logTe`, `logg`, `label`, and an isochrone ends where age or `MH` change.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from starnet_hpc.isochrones.columns import Block, blocks, required
from starnet_hpc.isochrones.isochrone import Isochrone, checked

MARK = "PARSEC"
"""Stands in the first lines of a file."""

_METALLICITY = re.compile(r"\[M/H\]\s*=\s*([-+0-9.eE]+)")
_BEFORE_THE_MAIN_SEQUENCE, _AFTER_THE_GIANT_BRANCH = 0, 9
"""Phases that no star of a survey of dwarfs and giants is in: the contraction, and what comes after the AGB."""


def read_parsec(path: Path, text: str) -> list[Isochrone]:
    """Return the isochrones of a file.

    Raises:
        IsochroneFormatError: it is not of this format.
    """
    return [checked(one) for block in blocks(path, text) for one in _isochrones(path, block)]


def _isochrones(path: Path, block: Block) -> Iterator[Isochrone]:
    age = required(path, block, "log(age/yr)", "logAge")
    teff, logg = 10.0 ** required(path, block, "logTe"), required(path, block, "logG")
    phase = block.column("stage", "label")
    seen = np.ones(age.size, dtype=bool)
    if phase is not None:
        seen = (phase > _BEFORE_THE_MAIN_SEQUENCE) & (phase < _AFTER_THE_GIANT_BRANCH)
    metallicity = block.column("MH")
    if metallicity is None:
        told = [found[1] for line in block.comments if (found := _METALLICITY.search(line))]
        metallicity = np.full(age.size, float(told[-1]) if told else np.nan)
    changed = (np.diff(age) != 0) | (np.diff(np.nan_to_num(metallicity)) != 0)
    which = np.concatenate([[0], np.cumsum(changed)])
    for number in range(int(which[-1]) + 1):
        rows = seen & (which == number)
        if rows.any():
            years = 10.0 ** float(age[rows][0])
            yield Isochrone(path, MARK, years / 1e9, float(metallicity[rows][0]), teff[rows], logg[rows])
