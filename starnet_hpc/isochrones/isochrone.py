"""What every reader of isochrones returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import IsochroneFormatError

_TEFF, _LOGG = (1e3, 1e6), (-3.0, 10.0)
"""What temperatures [K] and log g [dex] of stars can be, white dwarfs included."""
_JUMP_LOGG, _JUMP_TEFF = 0.3, 0.1
"""Two points that are farther apart than this, in log g [dex] or of the temperature, belong to different phases (the
tip of the giant branch and the clump, say) that no line should join."""


@dataclass(frozen=True)
class Isochrone:
    """Stars of one age and composition, in the order of initial mass (or of the evolutionary phase)."""

    path: Path
    models: str
    """Who computed it: PARSEC, MIST, or `table`."""
    age_gyr: float
    """NaN where the file does not say it."""
    metallicity: float
    """[Fe/H], or [M/H] of PARSEC [dex]; NaN where the file does not say it."""
    teff: NDArray[np.float64]
    """Effective temperature [points], K."""
    logg: NDArray[np.float64]
    """log g [points], cgs."""

    @property
    def name(self) -> str:
        """The isochrone in a few words."""
        solar = "[M/H]" if self.models == "PARSEC" else "[Fe/H]"
        parts = [self.models if self.models != "table" else self.path.stem]
        if math.isfinite(self.age_gyr):
            parts.append(f"{self.age_gyr:.3g} Gyr")
        if math.isfinite(self.metallicity):
            parts.append(f"{solar} {self.metallicity:+.2f}".replace("-", "−"))
        return ", ".join(parts)

    def pieces(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return temperatures and log g of the stretches that a line may join."""
        apart = np.abs(np.diff(self.logg)) > _JUMP_LOGG
        apart |= np.abs(np.diff(np.log(self.teff))) > _JUMP_TEFF
        cuts = np.flatnonzero(apart) + 1
        pairs = zip(np.split(self.teff, cuts), np.split(self.logg, cuts), strict=True)
        return [(teff, logg) for teff, logg in pairs if teff.size > 1]


def checked(isochrone: Isochrone) -> Isochrone:
    """Return an isochrone whose numbers can be those of stars.

    Raises:
        IsochroneFormatError: they cannot, or there are fewer than two points.
    """
    if isochrone.teff.size < 2:
        raise IsochroneFormatError(f"{isochrone.path}: {isochrone.name} has fewer than two points; download it again")
    for what, values, (low, high) in (("Teff [K]", isochrone.teff, _TEFF), ("log g", isochrone.logg, _LOGG)):
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            raise IsochroneFormatError(
                f"{isochrone.path}: {what} is {values[wrong][0]:g} somewhere in {isochrone.name}, expected {low:g} to "
                f"{high:g}: is the file damaged, or of another format?"
            )
    return isochrone


def nearest(isochrones: Sequence[Isochrone], metallicity: float) -> Isochrone:
    """Return that of several isochrones whose metallicity is nearest [dex]; the first one if none says what it has."""
    return min(
        isochrones,
        key=lambda one: abs(one.metallicity - metallicity) if math.isfinite(one.metallicity) else math.inf,
    )
