"""True continua of templates, where their format knows them: smooth, hence kept at few wavelengths."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.grids import TemplateSpectrum

ACCURACY = 1e-4
"""How well a straight line between two nodes gives the continuum; where it does not, the log says so."""
_STEP = 5.0
"""Distance of the nodes [angstrom]; that of a black body of 4000 K bends by 1e-5 of its height over it at 5000 A."""


def continuum_nodes(low: float, high: float) -> NDArray[np.float64]:
    """Return the wavelengths [k] at which continua are kept: equal steps from `low` to `high`, all in angstrom."""
    return np.linspace(low, high, max(2, math.ceil((high - low) / _STEP) + 1))


def continuum_at(template: TemplateSpectrum, nodes: NDArray[np.float64]) -> tuple[NDArray[np.float32], float] | None:
    """Return a template's continuum at the nodes [k], and the largest relative error of lines between them.

    None if the format does not know it.
    """
    if template.continuum is None:
        return None
    wavelength, continuum = template.wavelength, np.asarray(template.continuum, dtype=np.float64)
    values = np.interp(nodes, wavelength, continuum)
    inside = slice(*np.searchsorted(wavelength, nodes[[0, -1]]).tolist())
    error = np.abs(np.interp(wavelength[inside], nodes, values) / continuum[inside] - 1.0)
    return values.astype(np.float32), float(error.max(initial=0.0))


def continuum_columns(
    found: Sequence[tuple[NDArray[np.float32], float] | None], nodes: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Return the columns `continuum` [templates, k] and `continuum_wavelength` [k, angstrom].

    Args:
        found: what `continuum_at` says of each template; NaN stands for None, and without any known one, no column is.
        nodes: wavelengths [k], angstrom.
    """
    if not any(found):
        return {}
    unknown = np.full(nodes.size, np.nan, dtype=np.float32)
    return {
        "continuum": np.stack([known[0] if known else unknown for known in found]),
        "continuum_wavelength": nodes,
    }
