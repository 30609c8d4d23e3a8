"""From a spline on the ln(wavelength) grid to the mean flux in each pixel of an instrument.

A spectrum with cubic B-spline coefficients c_j has the antiderivative F(t) = sum_j c_j B4(t - j) with the integrated B-spline
B4, so the mean over a pixel is an exact difference of F at its edges: flux is conserved whatever the pixels' widths. A radial
velocity shifts the edges by the same amount each; nothing is resampled twice.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def edge_positions(
    lower: NDArray[np.float64], upper: NDArray[np.float64], ln_start: float, ln_step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where pixel edges lie on a ln(wavelength) grid, at rest.

    Args:
        lower: lower pixel edges [pixels], angstrom.
        upper: upper pixel edges [pixels], angstrom.
        ln_start: ln of the grid's first wavelength.
        ln_step: step of the grid in ln(wavelength).

    Returns:
        Positions [edges] in steps of the grid, an edge between two touching pixels only once, and the place [pixels] of
        each pixel's lower edge among them; its upper edge is the next one.
    """
    touching = np.isclose(lower[1:], upper[:-1], rtol=1e-9, atol=0.0)
    last_of_arm = np.append(~touching, True)
    first = np.arange(lower.size) + np.concatenate([[0], np.cumsum(last_of_arm)[:-1]])
    edges = np.empty(lower.size + int(last_of_arm.sum()))
    edges[first] = lower
    edges[first[last_of_arm] + 1] = upper[last_of_arm]
    return (np.log(edges) - ln_start) / ln_step, first.astype(np.int64)


def doppler_steps(vrad: float, ln_step: float) -> float:
    """Return the relativistic shift of ln(wavelength) for a radial velocity [km/s], in steps of the grid."""
    beta = vrad / 299_792.458
    return float(0.5 * (np.log1p(beta) - np.log1p(-beta)) / ln_step)


def mean_flux(
    coefficients: NDArray[np.float32], positions: NDArray[np.float64], first: NDArray[np.int64], shift: float
) -> NDArray[np.float32]:
    """Return the mean flux in each pixel [pixels] of a spectrum given by B-spline coefficients [n].

    Args:
        coefficients: of the cubic B-spline on the grid.
        positions: edges from `edge_positions`.
        first: place of each pixel's lower edge, from `edge_positions`.
        shift: Doppler shift in steps of the grid, from `doppler_steps`.

    Raises:
        ValueError: an edge lies outside the grid.
    """
    low, high = positions[0] - shift, positions[-1] - shift
    if low < 2.0 or high > coefficients.size - 3.0:
        raise ValueError(
            f"pixels from {low:.1f} to {high:.1f} steps lie outside the template's {coefficients.size} steps: "
            f"the template does not cover the instrument's range plus margin"
        )
    return _mean_flux(coefficients, positions, first, shift)


@njit(cache=True, fastmath={"contract"}, boundscheck=False)
def _mean_flux(c, positions, first, shift):
    total = np.empty(c.size + 1)
    total[0] = 0.0
    for j in range(c.size):
        total[j + 1] = total[j] + c[j]
    integral = np.empty(positions.size)
    for e in range(positions.size):
        t = positions[e] - shift
        i = int(t)
        u = t - i
        w = 1.0 - u
        u2, w2 = u * u, w * w
        # B4 of the four B-splines whose support the edge cuts; those further left are whole.
        left = 1.0 - w2 * w2 * (1.0 / 24.0)
        near = 0.5 + u * (2.0 / 3.0) + u2 * u * (-1.0 / 3.0 + 0.125 * u)
        right = 0.5 - w * (2.0 / 3.0) - w2 * w * (-1.0 / 3.0 + 0.125 * w)
        far = u2 * u2 * (1.0 / 24.0)
        integral[e] = total[i - 1] + (c[i - 1] * left + c[i] * near + c[i + 1] * right + c[i + 2] * far)
    out = np.empty(first.size, dtype=np.float32)
    for p in range(first.size):
        e = first[p]
        out[p] = (integral[e + 1] - integral[e]) / (positions[e + 1] - positions[e])
    return out
