"""The augmentation as somebody who knows the good libraries would write it in an afternoon: what the kernels are up to.

Nothing of starnet_hpc is in it. SciPy convolves (overlap-add) and fits the spline, spectres conserves flux between two
sets of pixels (its Numba version), astropy clips. The templates are brought to ln(wavelength) by linear interpolation,
spectra without noise come in float64: that is what these libraries offer.
"""

import numpy as np
from astropy.stats import sigma_clip
from numpy.typing import NDArray
from scipy.interpolate import LSQUnivariateSpline
from scipy.signal import oaconvolve
from spectres.spectral_resampling_numba import spectres_numba

Array = NDArray[np.float64]

C = 299_792.458
SEGMENT, KNOTS_PER_ANGSTROM = 10.0, 1 / 30


class LibraryRoute:
    """Steps i to vi for templates at one set of wavelengths and one instrument."""

    def __init__(self, native: Array, pixels: Array, avoid: NDArray[np.bool_], sigma_kms: float) -> None:
        self.native, self.pixels = native, pixels
        ln_native = np.linspace(np.log(native[0]), np.log(native[-1]), native.size)
        self.grid = np.exp(ln_native)
        self.step = C * (ln_native[1] - ln_native[0])
        reach = int(np.ceil(6 * sigma_kms / self.step))
        line_spread = np.exp(-0.5 * (self.step * np.arange(-reach, reach + 1) / sigma_kms) ** 2)
        self.line_spread = line_spread / line_spread.sum()
        # Rows of pixel numbers, one a segment, filled up with the number of a pixel that does not exist.
        inside = np.floor((pixels - pixels[0]) / SEGMENT).astype(int)
        rows = [np.flatnonzero((inside == s) & ~avoid) for s in range(inside[-1] + 1)]
        rows = [row for row in rows if row.size > 0.25 * SEGMENT / np.median(np.diff(pixels))]
        self.rows = np.full((len(rows), max(map(len, rows))), pixels.size)
        for place, row in enumerate(rows):
            self.rows[place, : row.size] = row
        self.centres = np.array([pixels[row].mean() for row in rows])
        # A knot in the gap that strong lines leave would have no level: each has its share of them.
        count = round((pixels[-1] - pixels[0]) * KNOTS_PER_ANGSTROM)
        self.knots = np.quantile(self.centres, np.linspace(0, 1, count + 1))[1:-1]

    def observe(self, flux: Array, vsini: float, epsilon: float, vrad: float) -> Array:
        """Return the flux on the instrument's pixels (steps i to iv)."""
        kernel = np.convolve(self.rotation(vsini, epsilon), self.line_spread)
        broad = oaconvolve(np.interp(self.grid, self.native, flux), kernel, mode="same")
        shift = np.sqrt((1 + vrad / C) / (1 - vrad / C))
        return np.asarray(spectres_numba(self.pixels, self.grid * shift, broad))

    def rotation(self, vsini: float, epsilon: float) -> Array:
        """Return Gray's profile at the grid's points."""
        half = int(vsini / self.step)
        if half == 0:
            return np.ones(1)
        x = 1 - (np.arange(-half, half + 1) * self.step / vsini) ** 2
        profile = 2 * (1 - epsilon) * np.sqrt(x) + 0.5 * np.pi * epsilon * x
        return np.asarray(profile / profile.sum())

    def add_noise(self, flux: Array, noise: float, rng: np.random.Generator) -> Array:
        """Return flux with noise of a share of its median (step v)."""
        return flux + np.float32(noise * np.median(flux)) * rng.standard_normal(flux.size, dtype=np.float32)

    def continuum(self, flux: Array) -> Array:
        """Return the continuum (step vi)."""
        table = np.append(flux, np.nan)[self.rows]
        left = sigma_clip(table, sigma_lower=0.5, sigma_upper=2.0, maxiters=None, axis=1, masked=False, copy=False)
        return np.asarray(LSQUnivariateSpline(self.centres, np.nanmean(left, axis=1), self.knots)(self.pixels))
