"""What an instrument makes of a star's spectrum: rotation, resolution, radial velocity, pixels, noise."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starnet_hpc.kernels.broadening import convolve, spline_kernel
from starnet_hpc.kernels.pixels import doppler_steps, edge_positions, mean_flux
from starnet_hpc.kernels.random import Key, normals

C_KMS = 299_792.458
_BINS = 4096


class ForwardModel:
    """Steps i to iv of the augmentation, for templates on one ln(wavelength) grid and one instrument."""

    def __init__(
        self,
        grid: NDArray[np.float64],
        lower: NDArray[np.float64],
        upper: NDArray[np.float64],
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
        self._positions, self._first = edge_positions(lower, upper, float(np.log(grid[0])), self._ln_step)

    def observe(self, template: NDArray[np.float32], *, vsini: float, epsilon: float, vrad: float) -> NDArray[np.float32]:
        """Return the noiseless flux in each pixel [pixels], in the template's unit.

        Args:
            template: point samples of the flux [n].
            vsini: projected rotational velocity, km/s.
            epsilon: linear limb-darkening coefficient.
            vrad: radial velocity, km/s, positive when receding.

        Raises:
            ValueError: the shifted pixels leave the template.
        """
        taps = spline_kernel(self._sigma, vsini, epsilon, self._step_kms)
        coefficients = convolve(template, taps)
        return mean_flux(coefficients, self._positions, self._first, doppler_steps(vrad, self._ln_step))


def add_noise(flux: NDArray[np.float32], noise: float, key: Key, row: int) -> NDArray[np.float32]:
    """Return flux [pixels] with Gaussian noise whose sigma is `noise` times the median flux, drawn by key and row."""
    return flux + np.float32(noise * median(flux)) * normals(key, row, flux.size)


def median(values: NDArray[np.float32]) -> float:
    """Return the median of finite values [n]: a histogram finds its neighbourhood, and only that is sorted."""
    return float(_median(np.ascontiguousarray(values)))


@njit(cache=True)
def _median(x):
    n = x.size
    low, high = x[0], x[0]
    for i in range(n):
        low = min(low, x[i])
        high = max(high, x[i])
    if not (high > low):
        return np.float64(low)
    scale = np.float32(_BINS - 1) / (high - low)
    counts = np.zeros(_BINS, dtype=np.int64)
    for i in range(n):
        counts[int((x[i] - low) * scale)] += 1
    # Both middle ranks: the same one if n is odd.
    rank_a, rank_b = (n - 1) // 2, n // 2
    before, bin_a = 0, 0
    while before + counts[bin_a] <= rank_a:
        before += counts[bin_a]
        bin_a += 1
    bin_b, total = bin_a, before + counts[bin_a]
    while total <= rank_b:
        bin_b += 1
        total += counts[bin_b]
    near = np.empty(total - before, dtype=np.float32)
    k = 0
    for i in range(n):
        b = int((x[i] - low) * scale)
        if bin_a <= b <= bin_b:
            near[k] = x[i]
            k += 1
    near.sort()
    return 0.5 * (np.float64(near[rank_a - before]) + np.float64(near[rank_b - before]))
