"""What an instrument makes of a star's spectrum: rotation, resolution, radial velocity, pixels, noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.kernels.broadening import COARSEST, convolve, finishing_kernel, spline_kernel
from starnet_hpc.kernels.linespread import LineSpread, VaryingGaussian, sigma_kms
from starnet_hpc.kernels.pixels import C_KMS, PixelIntegrals, doppler_steps
from starnet_hpc.kernels.random import Key, normals

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_Arm = tuple[VaryingGaussian, PixelIntegrals]

_ROUNDING = 1e-9
"""Sigmas of one resolution given twice may differ by this share."""


class ForwardModel:
    """Steps i to iv of the augmentation, for templates on one ln(wavelength) grid and one instrument."""

    def __init__(
        self,
        grid: _F8,
        lower: _F8,
        upper: _F8,
        line_spread: float | Sequence[tuple[slice, LineSpread]],
        native_sigma_kms: float = 0.0,
    ) -> None:
        """Prepare what does not depend on the spectrum.

        Args:
            grid: wavelengths of the templates [n], angstrom, uniform in the logarithm.
            lower: lower pixel edges [pixels], angstrom.
            upper: upper pixel edges [pixels], angstrom.
            line_spread: sigma of the instrument's line spread function everywhere, km/s; or for each of its arms, in
                order, the pixels and their line spread function.
            native_sigma_kms: sigma of the Gaussian that the templates have been smoothed with before, km/s.

        Raises:
            ValueError: the templates have been smoothed more than the instrument does somewhere.
        """
        self._ln_step = float(np.log(grid[-1] / grid[0]) / (grid.size - 1))
        self._step_kms = self._ln_step * C_KMS
        self._pixels = PixelIntegrals(lower, upper, float(np.log(grid[0])), self._ln_step)
        self._arms: list[_Arm] = []
        sigma = line_spread if isinstance(line_spread, float) else self._add_arms(grid, lower, upper, line_spread)
        self._sigma, self._finishing = _lacking(sigma, native_sigma_kms, self._step_kms)

    def _add_arms(self, grid: _F8, lower: _F8, upper: _F8, arms: Sequence[tuple[slice, LineSpread]]) -> float:
        """Prepare what arms need if their resolutions differ; return the sigma [km/s] of the sharpest place."""
        sharpest = max(spread.highest for _, spread in arms)
        if sharpest > min(spread.lowest for _, spread in arms):
            for part, spread in arms:
                low, high = lower[part], upper[part]
                gaussian = VaryingGaussian(spread, sharpest, grid, float(low[0]), float(high[-1]))
                self._arms.append((gaussian, PixelIntegrals(low, high, float(np.log(grid[0])), self._ln_step)))
        return sigma_kms(sharpest)

    def observe(self, template: _F4, *, vsini: float, epsilon: float, vrad: float) -> _F4:
        """Return the noiseless flux in each pixel [pixels], in the template's unit.

        Args:
            template: point samples of the flux [n].
            vsini: projected rotational velocity, km/s.
            epsilon: linear limb-darkening coefficient, 0 to 1.
            vrad: radial velocity, km/s, positive when receding.

        Raises:
            ValueError: a parameter is outside its range, or the shifted pixels leave the template.
        """
        shift = doppler_steps(vrad, self._ln_step)
        coefficients = self.broadened(template, vsini=vsini, epsilon=epsilon)
        if not self._arms:
            return self._pixels.mean_flux(coefficients, shift)
        flux = []
        for gaussian, pixels in self._arms:
            part, begin = gaussian(coefficients, shift)
            flux.append(pixels.mean_flux(part, shift + begin))
        return np.concatenate(flux)

    def broadened(self, template: _F4, *, vsini: float, epsilon: float) -> _F4:
        """Return the spline coefficients [n] of a rotating star's spectrum at the instrument's highest resolution.

        Args and errors: as for `observe`.
        """
        kernel = finishing_kernel if self._finishing else spline_kernel
        return convolve(template, kernel(self._sigma, vsini, epsilon, self._step_kms))


def _lacking(sigma: float, native: float, step: float) -> tuple[float, bool]:
    """Return the sigma [km/s] that templates lack behind one, and whether it is too narrow for samples of it."""
    if native == 0.0:
        return sigma, False
    if not 0.0 < native <= sigma * (1.0 + _ROUNDING):
        raise ValueError(f"templates of sigma {native:.4g} km/s cannot be given a sigma of {sigma:.4g} km/s")
    rest = float(np.sqrt(max(sigma * sigma - native * native, 0.0)))
    # A grid too coarse for the instrument is too coarse whatever the templates lack: `spline_kernel` says so.
    too_coarse = step > COARSEST * sigma
    return (sigma, False) if too_coarse else (rest, step > COARSEST * rest)


def add_noise(flux: _F4, noise: float, key: Key, row: int) -> _F4:
    """Return flux [pixels] with Gaussian noise whose sigma is `noise` times the median flux, drawn by key and row."""
    return flux + np.float32(noise * median(flux)) * normals(key, row, flux.size)


def median(values: _F4) -> float:
    """Return the median of finite values [n]."""
    # NumPy selects one rank with vector instructions, but takes ten times as long over two.
    middle = values.size // 2
    part = np.partition(values, middle)
    if values.size % 2:
        return float(part[middle])
    return 0.5 * (float(part[:middle].max()) + float(part[middle]))
