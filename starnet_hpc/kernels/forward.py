"""What an instrument makes of a star's spectrum: rotation, resolution, radial velocity, pixels, noise."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.kernels.broadening import convolve, spline_kernel
from starnet_hpc.kernels.pixels import C_KMS, PixelIntegrals, doppler_steps
from starnet_hpc.kernels.random import Key, normals

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]


class ForwardModel:
    """Steps i to iv of the augmentation, for templates on one ln(wavelength) grid and one instrument."""

    def __init__(
        self,
        grid: _F8,
        lower: _F8,
        upper: _F8,
        sigma_kms: float,
    ) -> None:
        """Prepare what does not depend on the spectrum.

        Args:
            grid: wavelengths of the templates [n], angstrom, uniform in the logarithm.
            lower: lower pixel edges [pixels], angstrom.
            upper: upper pixel edges [pixels], angstrom.
            sigma_kms: standard deviation of the line spread function, km/s.
        """
        self._ln_step = float(np.log(grid[-1] / grid[0]) / (grid.size - 1))
        self._step_kms = self._ln_step * C_KMS
        self._sigma = sigma_kms
        self._pixels = PixelIntegrals(lower, upper, float(np.log(grid[0])), self._ln_step)

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
        taps = spline_kernel(self._sigma, vsini, epsilon, self._step_kms)
        return self._pixels.mean_flux(convolve(template, taps), doppler_steps(vrad, self._ln_step))


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
