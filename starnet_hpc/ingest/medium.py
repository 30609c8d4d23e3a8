"""Are the wavelengths what they claim, air? Lines tell: vacuum taken for air moves all of them by 83 km/s."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.grids import TemplateSource, TemplateSpectrum, reader_for
from starnet_hpc.grids.template import Window
from starnet_hpc.instruments import C_KMS

_LINES = (
    3933.663, 3968.469, 4045.812, 4063.594, 4071.738, 4143.868, 4202.029, 4226.728, 4250.787, 4260.474,
    4271.760, 4307.902, 4325.762, 4383.545, 4404.750, 4415.122, 4528.614, 4554.029, 4702.991, 4861.323,
    4871.318, 4890.755, 4918.994, 4920.502, 4934.076, 4957.596, 5006.119, 5041.756, 5049.820, 5083.338,
    5110.413, 5167.321, 5172.684, 5183.604, 5191.454, 5194.941, 5227.189, 5232.940, 5266.555, 5269.537,
    5270.356, 5324.179, 5328.039, 5371.489, 5397.128, 5405.775, 5429.696, 5434.523, 5446.916, 5528.405,
    5586.755, 5615.644, 5889.951, 5895.924, 6102.723, 6122.217, 6136.615, 6141.713, 6162.173, 6191.558,
    6230.723, 6252.555, 6393.601, 6400.001, 6411.649, 6430.846, 6439.075, 6494.980, 6677.987, 8498.020,
    8542.090, 8662.140,
)  # fmt: skip
"""Air wavelengths [angstrom] of strong lines of Fe I, Mg I, Ca I, Ca II, Ba II, Na I, H I (NIST)."""

_FEWEST_LINES = 3
_REACH_KMS, _STEP_KMS = 150.0, 1.0
_HALF_WINDOW_KMS = 250.0
"""Depths are relative to the highest flux so close to a line."""
_FEWEST_SAMPLES = 25
_VACUUM_KMS = (60.0, 105.0)
"""Vacuum wavelengths are longer by 81 to 85 km/s; narrow lines are found within a few km/s, broad ones within 20."""
_FEWEST_DEPTH, _CLEARLY = 0.03, 1.25
"""Lines must be so deep on average, and so much deeper there than at rest, before anything is said."""


_ASKED = 16
"""Templates looked at, from all over the grid."""


def measured_offset(grid_format: str, sources: Sequence[TemplateSource], window: Window) -> float | None:
    """Return `line_offset` of some of a grid's templates."""
    reader = reader_for(grid_format)
    step = max(1, len(sources) // _ASKED)
    return line_offset([reader.read(source, window) for source in sources[::step][:_ASKED]])


def line_offset(templates: Sequence[TemplateSpectrum]) -> float | None:
    """Return the velocity [km/s] at which known strong lines are deepest on average; None if that cannot be said.

    Each line's profile, relative to the highest flux about it, is averaged over lines and templates at velocities
    from -150 to 150 km/s. Fewer than three lines in range, or lines too weak to stand out, say nothing.
    """
    velocity = np.arange(-_REACH_KMS, _REACH_KMS + _STEP_KMS / 2, _STEP_KMS)
    profiles = [profile for template in templates for profile in _profiles(template, velocity)]
    if len(profiles) < _FEWEST_LINES * max(len(templates), 1):
        return None
    depth = 1.0 - np.mean(profiles, axis=0)
    best = int(np.argmax(depth))
    if depth[best] < _FEWEST_DEPTH or depth[best] < _CLEARLY * np.median(depth):
        return None
    return float(velocity[best])


def vacuum_warning(offset: float | None) -> str | None:
    """Return what to tell the user about an offset of the lines [km/s]; None if nothing."""
    if offset is None or not _VACUUM_KMS[0] <= abs(offset) <= _VACUUM_KMS[1]:
        return None
    what = (
        "these look like vacuum wavelengths, taken for air"
        if offset > 0
        else "these look like air wavelengths that were converted from vacuum to air once more"
    )
    return (
        f"strong lines lie {offset:+.0f} km/s from their wavelengths in air: {what}. Check the files (for format ferre "
        f"VACUUM, for format table `medium`); every radial velocity would be wrong by that much"
    )


def _profiles(template: TemplateSpectrum, velocity: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return flux over the highest flux nearby at each velocity [velocities], for all lines in range."""
    wavelength = template.wavelength
    found = []
    for line in _LINES:
        low, high = line * (1.0 - _HALF_WINDOW_KMS / C_KMS), line * (1.0 + _HALF_WINDOW_KMS / C_KMS)
        if wavelength[0] > low or wavelength[-1] < high:
            continue
        first, last = np.searchsorted(wavelength, (low, high))
        if last - first < _FEWEST_SAMPLES:  # too coarse, or a gap
            continue
        part = slice(int(first), int(last))
        level = float(template.flux[part].max())
        at = line * (1.0 + velocity / C_KMS)
        found.append(np.interp(at, wavelength[part], template.flux[part]) / level)
    return found
