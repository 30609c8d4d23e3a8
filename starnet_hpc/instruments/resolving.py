"""Which resolution each arm of an instrument has, and whether templates have it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError, ResolutionError
from starnet_hpc.kernels.linespread import LineSpread

_STEEPEST = 0.01
"""Share by which lambda / FWHM may change within one FWHM: at such bends kernels are exact to 2e-4 of a depth."""
_ROUNDING = 1e-9
"""Two resolutions that differ by this share are the same."""

_Table = float | tuple[tuple[float, float], ...]


def line_spread(given: _Table, centre: NDArray[np.float64]) -> LineSpread:
    """Return the line spread function of an arm with pixels centred there [pixels, angstrom]; outside it is constant.

    Args:
        given: lambda / FWHM everywhere, or points of wavelength [angstrom, air] and lambda / FWHM.
        centre: increasing.
    """
    first, last = float(centre[0]), float(centre[-1])
    return LineSpread(given if isinstance(given, tuple) else ((first, given),)).within(first, last)


def check_table(given: _Table, first: float, last: float, arms: Sequence[LineSpread]) -> None:
    """Check that a table of resolutions belongs to the pixels, and changes so slowly that a line sees only one.

    Raises:
        ConfigError: it does not; says where.
    """
    if not isinstance(given, tuple):
        return
    if given[-1][0] < first or given[0][0] > last:
        raise ConfigError(
            f"resolution is given for {given[0][0]:g} to {given[-1][0]:g} A, but the pixels lie at {first:.2f} to "
            f"{last:.2f} A; wavelengths are in angstrom, in air"
        )
    for spread in arms:
        for (low, one), (high, other) in pairwise(spread.points):
            fwhm = high / min(one, other)
            if abs(other - one) * fwhm > _STEEPEST * min(one, other) * (high - low):
                raise ConfigError(
                    f"resolution changes from {one:g} at {low:.3f} A to {other:g} at {high:.3f} A, by more than "
                    f"{100 * _STEEPEST:g} % within one FWHM ({fwhm:.3f} A); spread the change over more wavelengths, "
                    f"or where it jumps, end one arm and begin another"
                )


def check_native(resolution: float | None, sharpest: tuple[float, float], source: str) -> None:
    """Do nothing if templates that have been smoothed already are as sharp as an instrument.

    Args:
        resolution: lambda / FWHM of the templates; None if they are as sharp as can be.
        sharpest: of the instrument (`Instrument.sharpest`).
        source: the file, folder or store of the templates, for the message.

    Raises:
        ResolutionError: they are not; names both resolutions and the wavelength.
    """
    wavelength, needed = sharpest
    if resolution is not None and not resolution >= needed * (1.0 - _ROUNDING):
        raise ResolutionError(
            f"{source}: templates have been smoothed to lambda / FWHM = {resolution:g} already (grid.resolution, or "
            f"the files say so), but the instrument has {needed:g} at {wavelength:.2f} A (instrument.resolution), and "
            f"smoothing cannot be undone; use sharper templates, or an instrument of {resolution:g} or less everywhere"
        )
