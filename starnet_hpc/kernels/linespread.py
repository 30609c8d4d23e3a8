"""Line spread functions whose width changes with wavelength.

An observed pixel has a Gaussian of its own, of the sigma that belongs to its wavelength, through which it sees the
star. A spectrum that was convolved with the narrowest of them lacks a Gaussian of variance sigma^2 - narrowest^2.
That one is taken at nodes; between two of them a pixel gets the mean of what the nodes' kernels give, weighted so that
its variance is exact. Kernels of nodes do not depend on the star, so that there may be as many as accuracy asks for:
each pixel meets two of them.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starnet_hpc.kernels.gauss import gauss_taps
from starnet_hpc.kernels.pixels import C_KMS

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_I8 = NDArray[np.int64]

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))

_NODE_STEP = 0.01
"""Relative step of sigma^2 between nodes. Linear interpolation over a step d of s = sigma^2 errs by d^2 / 8 times the
second derivative, a quarter of the line's fourth derivative: 3 depth / (4 s^2) for a line with no width of its own.
That is 3/32 x 0.01^2 = 9e-6 of the depth at most, and less for real lines."""
_SAME = 1e-7
"""Variances that differ by less than this share of the wider one are the same."""
_SPLINE_REACH = 4
"""Grid points beyond the pixels whose coefficients shape the flux inside them, and some."""
_UNROLL = 8
"""Taps worked on together; kernels are padded with zeros to a multiple of it."""
_BLOCK = 256
"""Outputs worked on together: they stay in the first cache while all taps pass over them."""


def sigma_kms(resolution: float) -> float:
    """Return the standard deviation [km/s] of a Gaussian line spread function of this lambda / FWHM."""
    return float(C_KMS / resolution / FWHM_PER_SIGMA)


@dataclass(frozen=True)
class LineSpread:
    """Gaussian line spread function: lambda / FWHM along the observed wavelengths."""

    points: tuple[tuple[float, float], ...]
    """Wavelength [angstrom], increasing, and lambda / FWHM there: linear in between, constant beyond."""

    def resolution(self, wavelength: _F8) -> _F8:
        """Return lambda / FWHM [n] at wavelengths [n, angstrom]."""
        at, values = np.array(self.points, dtype=np.float64).T
        return np.asarray(np.interp(wavelength, at, values))

    def within(self, low: float, high: float) -> "LineSpread":
        """Return the same between two wavelengths [angstrom], and constant beyond them."""
        at = np.array([low, *(at for at, _ in self.points if low < at < high), high])
        return LineSpread(tuple(zip(at.tolist(), self.resolution(at).tolist(), strict=True)))

    @property
    def lowest(self) -> float:
        """Smallest lambda / FWHM."""
        return min(resolution for _, resolution in self.points)

    @property
    def highest(self) -> float:
        """Largest lambda / FWHM."""
        return max(resolution for _, resolution in self.points)


class VaryingGaussian:
    """The Gaussian that spectra on one ln(wavelength) grid lack behind a line spread function, along one arm."""

    def __init__(self, spread: LineSpread, sharpest: float, grid: _F8, low: float, high: float) -> None:
        """Prepare the kernels of the nodes.

        Args:
            spread: line spread function of the arm.
            sharpest: lambda / FWHM of the Gaussian that spectra have been convolved with, at least `spread.highest`.
            grid: wavelengths of the spectra [n], angstrom, uniform in the logarithm.
            low: lower edge of the arm's first pixel, angstrom.
            high: upper edge of its last pixel, angstrom.
        """
        self._ln_step = float(np.log(grid[-1] / grid[0]) / (grid.size - 1))
        self._grid = np.ascontiguousarray(grid, dtype=np.float64)
        self._window = np.log(np.array([low, high]) / grid[0]) / self._ln_step
        at, resolution = _nodes(spread)
        self._inner: _F8 = np.log(at[1:-1] / grid[0]) / self._ln_step
        inverse_square = resolution**-2.0
        excess = inverse_square - sharpest**-2.0
        excess[excess < _SAME * inverse_square] = 0.0
        rise = np.diff(inverse_square)
        rise[np.abs(rise) < _SAME * inverse_square[1:]] = 0.0
        # What it takes to work out a wavelength's weight: its resolution is on a straight line between two nodes.
        per_rise = np.divide(1.0, rise, out=np.zeros_like(rise), where=rise != 0.0)
        self._lines = np.stack([at[:-1], resolution[:-1], np.diff(resolution) / np.diff(at), per_rise], axis=1)
        kernels = [gauss_taps(float(variance)) for variance in excess / (FWHM_PER_SIGMA * self._ln_step) ** 2]
        pairs = [_pair(first, second) for first, second in pairwise(kernels)]
        self._half = np.array([max(first.size, second.size) // 2 for first, second in pairwise(kernels)])
        self._ends = np.cumsum([0, *(pair.shape[1] for pair in pairs)])
        self._taps = np.concatenate(pairs, axis=1).astype(np.float32)

    def __call__(self, coefficients: _F4, shift: float) -> tuple[_F4, int]:
        """Return the broadened spectrum where the arm sees it, and at which point of the grid that part begins.

        Args:
            coefficients: the spectrum in the star's frame [n], broadened by the sharpest Gaussian, as samples or as
                spline coefficients (and such come back); its end values go on beyond the ends.
            shift: Doppler shift of the observed spectrum in steps of the grid, from `pixels.doppler_steps`.
        """
        n, half = coefficients.size, int(self._half.max())
        first, last = self._window - shift
        begin = min(max(int(np.floor(first)) - _SPLINE_REACH, 0), n)
        end = max(min(int(np.ceil(last)) + _SPLINE_REACH + 1, n), begin)
        starts = np.empty(self._half.size + 1, dtype=np.int64)
        starts[0], starts[-1] = begin, end
        starts[1:-1] = np.clip(np.ceil(self._inner - shift), begin, end)
        padded = np.empty(end - begin + 2 * half + _BLOCK + 2 * _UNROLL, dtype=np.float32)
        low, high = max(begin - half, 0), min(end + half, n)
        padded[: low - begin + half] = coefficients[0]
        padded[low - begin + half : high - begin + half] = coefficients[low:high]
        padded[high - begin + half :] = coefficients[-1]
        doppler = float(np.exp(shift * self._ln_step))
        part: _F4 = _blend(padded, half, starts, self._grid, doppler, self._lines, self._half, self._ends, self._taps)
        return part, begin


def _nodes(spread: LineSpread) -> tuple[_F8, _F8]:
    """Return wavelengths [nodes, angstrom] and lambda / FWHM there, so close that variances can be interpolated."""
    at, resolution = [spread.points[0][0]], [spread.points[0][1]]
    for (low, first), (high, last) in pairwise(spread.points):
        ratio = last / first
        count = max(1, int(np.ceil(2.0 * abs(np.log(ratio)) / np.log1p(_NODE_STEP))))
        part = np.arange(1, count + 1) / count
        share = (ratio**part - 1.0) / (ratio - 1.0) if count > 1 else part
        at += (low + (high - low) * share).tolist()
        resolution += (first * ratio**part).tolist()
    return np.array(at), np.array(resolution)


def _pair(first: _F8, second: _F8) -> _F8:
    """Return [2, taps]: one node's kernel, and what the next node's has beyond it, zeros up to a multiple of 8."""
    half = max(first.size, second.size) // 2
    pair = np.zeros((2, -(-(2 * half + 1) // _UNROLL) * _UNROLL))
    for row, kernel in enumerate((first, second)):
        start = half - kernel.size // 2
        pair[row, start : start + kernel.size] = kernel
    pair[1] -= pair[0]
    return pair


# "contract" allows a fused multiply-add, nothing else: the order of the sum is the one written here.
@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _blend(
    padded: _F4, pad: int, starts: _I8, grid: _F8, doppler: float, lines: _F8, halves: _I8, ends: _I8, taps: _F4
) -> _F4:
    begin = starts[0]
    out = np.empty(starts[-1] - begin, dtype=np.float32)
    rise = np.empty(_BLOCK, dtype=np.float32)
    for stretch in range(halves.size):
        first_tap, taps_end = ends[stretch], ends[stretch + 1]
        at, resolution, slope, per_rise = lines[stretch]
        known = 1.0 / (resolution * resolution)
        for start in range(starts[stretch], starts[stretch + 1], _BLOCK):
            count = min(_BLOCK, starts[stretch + 1] - start)
            total = out[start - begin : start - begin + count]
            window = padded[start - begin + pad - halves[stretch] :]
            _accumulate(total, window, taps[0, first_tap:taps_end])
            if per_rise == 0.0:
                continue
            more = rise[:count]
            _accumulate(more, window, taps[1, first_tap:taps_end])
            for i in range(count):
                there = resolution + slope * (grid[start + i] * doppler - at)
                weight = (1.0 / (there * there) - known) * per_rise
                total[i] += np.float32(min(max(weight, 0.0), 1.0)) * more[i]
    return out


@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _accumulate(total: _F4, window: _F4, taps: _F4) -> None:
    """Fill total [n] with the sums of taps and what the window [n + taps] holds from there on."""
    total[:] = np.float32(0.0)
    for j in range(0, taps.size, _UNROLL):
        t0, t1, t2, t3 = taps[j], taps[j + 1], taps[j + 2], taps[j + 3]
        t4, t5, t6, t7 = taps[j + 4], taps[j + 5], taps[j + 6], taps[j + 7]
        x = window[j : j + total.size + _UNROLL]
        for i in range(total.size):
            total[i] += (
                t0 * x[i] + t1 * x[i + 1] + t2 * x[i + 2] + t3 * x[i + 3]
                + t4 * x[i + 4] + t5 * x[i + 5] + t6 * x[i + 6] + t7 * x[i + 7]
            )  # fmt: skip
