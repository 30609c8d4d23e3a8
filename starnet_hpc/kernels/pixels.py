"""From a spline on the ln(wavelength) grid to the mean flux in each pixel of an instrument.

A spectrum with cubic B-spline coefficients has an antiderivative that is a quartic between neighbouring grid points, so
the mean over a pixel is an exact difference of it between the pixel's edges: flux is conserved whatever the pixels'
widths. A radial velocity shifts all edges by the same amount; nothing is resampled twice.

The mean is taken over ln(wavelength). Over wavelength it would differ by (pixel width)^2 / (12 wavelength) times the
slope of the flux: 1e-7 of the flux for the paper's pixels, next to the steepest lines.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]

C_KMS = 299_792.458
"""Speed of light [km/s]."""


class PixelIntegrals:
    """The pixels of an instrument as seen from one ln(wavelength) grid."""

    def __init__(self, lower: _F8, upper: _F8, ln_start: float, ln_step: float) -> None:
        """Prepare all that does not depend on the spectrum.

        Args:
            lower: lower pixel edges [pixels], angstrom.
            upper: upper pixel edges [pixels], angstrom.
            ln_start: ln of the grid's first wavelength.
            ln_step: step of the grid in ln(wavelength).
        """
        # An edge between two touching pixels is worked out once: each arm has one edge more than it has pixels.
        breaks = np.flatnonzero(~np.isclose(lower[1:], upper[:-1], rtol=1e-9, atol=0.0)) + 1
        self._arms = np.array([0, *breaks, lower.size], dtype=np.int64)
        edges = np.insert(lower, [*breaks, lower.size], upper[self._arms[1:] - 1])
        self._positions: _F8 = (np.log(edges) - ln_start) / ln_step
        self._inverse_widths: _F8 = ln_step / np.log(upper / lower)

    def mean_flux(self, coefficients: _F4, shift: float) -> _F4:
        """Return the mean flux in each pixel [pixels] of a spectrum given by cubic B-spline coefficients.

        Args:
            coefficients: of the B-splines at the grid's points [n], contiguous.
            shift: Doppler shift in steps of the grid, from `doppler_steps`.

        Raises:
            ValueError: a pixel lies outside the grid.
        """
        low, high = self._positions[0] - shift, self._positions[-1] - shift
        if not (low >= 1.0 and high <= coefficients.size - 3.0):
            raise ValueError(
                f"pixels from {low:.1f} to {high:.1f} steps lie outside the template's {coefficients.size} steps: "
                f"the template does not cover the instrument's range plus margin"
            )
        integral = _antiderivative(coefficients, self._positions, shift)
        mean: _F4 = _differences(integral, self._inverse_widths, self._arms)
        return mean


def doppler_steps(vrad: float, ln_step: float) -> float:
    """Return the relativistic shift of ln(wavelength) for a radial velocity [km/s], in steps of the grid.

    Raises:
        ValueError: the velocity is not below that of light.
    """
    beta = vrad / C_KMS
    if not abs(beta) < 1.0:
        raise ValueError(f"a radial velocity must be below that of light, got {vrad} km/s")
    return float(0.5 * (np.log1p(beta) - np.log1p(-beta)) / ln_step)


@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _antiderivative(coefficients: _F4, positions: _F8, shift: float) -> _F8:
    """Integral [edges] of the spline from grid point 1 to positions inside the grid points 1 and n - 3."""
    cells = coefficients.size - 3
    whole, flux, slope, curve, third = np.empty((5, cells))
    left, near, right, far = coefficients[:cells], coefficients[1:-2], coefficients[2:-1], coefficients[3:]
    for i in range(cells):
        # Between grid points i + 1 and i + 2 the spline is flux + 2 slope u + 3 curve u^2 + 4 third u^3 for u = 0..1.
        a, b, c, d = np.float64(left[i]), np.float64(near[i]), np.float64(right[i]), np.float64(far[i])
        flux[i] = (a + 4.0 * b + c) * (1.0 / 6.0)
        slope[i] = (c - a) * 0.25
        curve[i] = (a - 2.0 * b + c) * (1.0 / 6.0)
        third[i] = (d - a + 3.0 * (b - c)) * (1.0 / 24.0)
        whole[i] = (a + d + 11.0 * (b + c)) * (1.0 / 24.0)
    total = 0.0
    for i in range(cells):
        before = total
        total += whole[i]
        whole[i] = before
    out = np.empty(positions.size)
    for e in range(positions.size):
        t = positions[e] - shift
        point = np.int32(t)
        u = t - np.float64(point)
        k = np.uint32(point) - np.uint32(1)  # unsigned, or Numba looks whether it counts from the end
        out[e] = whole[k] + u * (flux[k] + u * (slope[k] + u * (curve[k] + u * third[k])))
    return out


@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _differences(integral: _F8, inverse_widths: _F8, arms: NDArray[np.int64]) -> _F4:
    out = np.empty(inverse_widths.size, dtype=np.float32)
    for arm in range(arms.size - 1):
        low, high = arms[arm], arms[arm + 1]
        mean, inverse = out[low:high], inverse_widths[low:high]
        below, above = integral[low + arm : high + arm], integral[low + arm + 1 : high + arm + 1]
        for p in range(high - low):
            mean[p] = (above[p] - below[p]) * inverse[p]
    return out
