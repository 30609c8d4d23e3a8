"""What a spectrograph makes of a template, worked out slowly: NumPy and SciPy in float64, nothing from starnet_hpc.

Truth for point samples is their cubic interpolant. It is read off on a grid of ln(wavelength) many times finer than the
samples, convolved with the two profiles one after the other, and averaged over each pixel in wavelength.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.interpolate import CubicSpline, make_interp_spline
from scipy.signal import oaconvolve

Array = NDArray[np.float64]
Sigma = float | Callable[[Array], Array]
"""Of a line spread function [km/s], everywhere the same or a function of wavelength."""

C = 299_792.458
UVES_SIGMA = C / 47_000 / np.sqrt(8 * np.log(2))
"""Line spread function of the paper's instrument [km/s]."""


def rotation(v: Array | float, vsini: float, epsilon: float) -> Array:
    """Return Gray's (2005, eq. 18.14) rotation profile [1/(km/s)]."""
    x = np.clip(1 - (np.asarray(v) / vsini) ** 2, 0, None)
    norm = np.pi * vsini * (1 - epsilon / 3)
    return (2 * (1 - epsilon) * np.sqrt(x) + np.pi / 2 * epsilon * x) / norm


def rotation_integral(v: Array, vsini: float, epsilon: float) -> Array:
    """Return the integral of the rotation profile from -vsini to v."""
    x = np.clip(v / vsini, -1, 1)
    disc = x * np.sqrt(1 - x * x) + np.arcsin(x)
    dark = np.pi / 2 * epsilon * (x - x**3 / 3)
    return 0.5 + ((1 - epsilon) * disc + dark) / (np.pi * (1 - epsilon / 3))


def gauss(v: Array | float, sigma: float) -> Array:
    return np.exp(-0.5 * (np.asarray(v) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def broadening_profile(v: float, sigma: float, vsini: float, epsilon: float) -> float:
    """Return Gaussian * rotation at one velocity, by adaptive quadrature over the angle t of vsini cos(t)."""
    if vsini == 0:
        return float(gauss(v, sigma))

    def integrand(t: float) -> float:
        speed = vsini * np.cos(t)
        return float(rotation(speed, vsini, epsilon) * gauss(v - speed, sigma) * vsini * np.sin(t))

    centre = np.arccos(np.clip(v / vsini, -1, 1))
    return float(quad(integrand, 0, np.pi, points=[centre], limit=400, epsabs=1e-13, epsrel=1e-11)[0])


def broadened(flux: Callable[[Array], Array], ln_grid: Array, sigma: Sigma, vsini: float, epsilon: float) -> Array:
    """Return flux (a function of wavelength), broadened, on a fine uniform ln(wavelength) grid."""
    step = C * (ln_grid[1] - ln_grid[0])
    reach = 0 if callable(sigma) else int(np.ceil(9 * sigma / step))
    kernel = np.ones(1) if callable(sigma) else gauss(np.arange(-reach, reach + 1) * step, sigma) * step
    if vsini > 0:
        # The share of the profile in each cell of the fine grid.
        half = int(np.ceil(vsini / step + 0.5))
        cells = rotation_integral((np.arange(-half, half + 2) - 0.5) * step, vsini, epsilon)
        kernel = np.convolve(kernel, np.diff(cells))
    pad = kernel.size // 2
    samples = np.pad(flux(np.exp(ln_grid)), pad, mode="edge")
    turned = oaconvolve(samples, kernel / kernel.sum(), mode="valid")
    if not callable(sigma):
        return turned
    # Shares in cells make the rotation profile wider than it is, by the variance of a cell.
    return smoothed(turned, np.sqrt(sigma(np.exp(ln_grid)) ** 2 - (step**2 / 12 if vsini > 0 else 0)) / step)


def smoothed(flux: Array, sigma: Array) -> Array:
    """Return what each point sees through its own Gaussian, of sigma [n] steps: quadrature, one point at a time."""
    reach = int(np.ceil(8 * sigma.max()))
    padded = np.pad(flux, reach, mode="edge")
    total, weights = np.zeros(flux.size), np.zeros(flux.size)
    for k in range(-reach, reach + 1):
        weight = np.exp(-0.5 * (k / sigma) ** 2)
        total += weight * padded[reach + k : reach + k + flux.size]
        weights += weight
    return total / weights


def observed(
    wavelength: Array,
    flux: Array,
    lower: Array,
    upper: Array,
    *,
    sigma: Sigma,
    vsini: float,
    epsilon: float,
    vrad: float,
    finer: float = 24.0,
) -> Array:
    """Return the mean flux over each pixel [lower, upper] of a star given by point samples (wavelength, flux).

    The line spread function is that of the pixel which receives: `sigma` may be a function of observed wavelength.
    """
    count = int(finer * wavelength.size)
    ln_grid = np.linspace(np.log(wavelength[0]), np.log(wavelength[-1]), count)
    doppler = np.sqrt((1 + vrad / C) / (1 - vrad / C))
    here = (lambda rest: sigma(rest * doppler)) if callable(sigma) else sigma
    fine = broadened(CubicSpline(wavelength, flux), ln_grid, here, vsini, epsilon)
    return pixel_means(np.exp(ln_grid) * doppler, fine, lower, upper)


def pixel_means(wavelength: Array, flux: Array, lower: Array, upper: Array) -> Array:
    """Return the mean over wavelength [lower, upper] of a finely sampled flux."""
    integral = make_interp_spline(wavelength, flux, k=3).antiderivative()
    return np.asarray((integral(upper) - integral(lower)) / (upper - lower))
