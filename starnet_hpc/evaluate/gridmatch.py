"""Spectra of two synthetic grids at equal labels: templates that match, or interpolation where none do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree

from starnet_hpc.statistics import Floats

TOLERANCE = {"teff": 10.0, "logg": 0.02, "feh": 0.02}
"""Templates whose labels differ by no more than this are at equal labels: the same nodes, but for their rounding."""
_TOLERANCE_ABUNDANCE = 0.02
"""The same for [alpha/Fe], and for [X/Fe] of single elements [dex]."""

FEWEST_MATCHES = 30
"""With fewer matching templates than this, one grid is interpolated to the labels of the other."""

_LENGTH = 4.0
"""Correlation length of the interpolation, in half the range of each label; a quarter of it does nearly as well."""
_NUGGET = 1e-6
"""Variance of what labels do not tell (microturbulence, say), of the variance of a flux."""
_UNTRUSTED = 95.0
"""A label vector is too far from all templates if its variance exceeds this percentile of the templates' own."""

Rows = NDArray[np.int64]


def matches(reference: Floats, other: Floats, names: Sequence[str]) -> tuple[Rows, Rows]:
    """Return which rows of two lists of labels [n, L] are at equal labels: rows of the one, rows of the other [pairs].

    Each row of `other` has at most one partner, the nearest.
    """
    scale = np.array([TOLERANCE.get(name, _TOLERANCE_ABUNDANCE) for name in names])
    distance, nearest = map(np.asarray, cKDTree(reference / scale).query(other / scale, p=np.inf))
    found = np.flatnonzero(distance <= 1.0 + 1e-9)
    return nearest[found].astype(np.int64), found


@dataclass(frozen=True)
class Interpolated:
    """Spectra at the labels that were asked for."""

    rows: Rows
    """Which of them lie where templates are dense enough [n]."""
    flux: Floats
    """[n, pixels]."""
    left_out: Floats
    """Every template as interpolated between all others [templates, pixels]: what the interpolation is worth."""


def interpolate(labels: Floats, flux: Floats, wanted: Floats) -> Interpolated:
    """Return spectra at labels between those of templates.

    Each pixel's flux is a Gaussian process over the labels (Matern 5/2; Rasmussen & Williams 2006, eq. 4.17), whose
    predictions without one template at a time follow from the same matrix (eq. 5.12).

    Args:
        labels: of the templates [templates, L].
        flux: of the templates [templates, pixels].
        wanted: labels [m, L]; those outside the templates' range, or far from all of them, are not answered.
    """
    low, high = labels.min(axis=0), labels.max(axis=0)
    varied = high > low
    low, half = low[varied], 0.5 * (high - low)[varied]
    known, asked = (labels[:, varied] - low) / half, (wanted[:, varied] - low) / half
    mean = flux.mean(axis=0)
    factor = cho_factor(_matern(known, known) + _NUGGET * np.eye(len(known)), lower=True)
    inverse = np.asarray(cho_solve(factor, np.eye(len(known))))
    weighted = inverse @ (flux - mean)
    own_variance = 1.0 / np.diag(inverse)

    inside = ((asked >= 0.0) & (asked <= 2.0)).all(axis=1)
    inside &= np.isclose(wanted[:, ~varied], labels[0, ~varied]).all(axis=1)
    rows = np.flatnonzero(inside)
    cross = _matern(asked[rows], known)
    variance = 1.0 + _NUGGET - np.einsum("ij,jk,ik->i", cross, inverse, cross, optimize=True)
    near = variance <= np.percentile(own_variance, _UNTRUSTED)
    return Interpolated(rows[near], mean + cross[near] @ weighted, flux - weighted * own_variance[:, None])


def _matern(one: Floats, other: Floats) -> Floats:
    square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2.0 * one @ other.T
    scaled = np.sqrt(5.0 * np.maximum(square, 0.0)) / _LENGTH
    kernel: Floats = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    return kernel
