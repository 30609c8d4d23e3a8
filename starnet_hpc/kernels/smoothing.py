"""Levels that are averages over many pixels: a Gaussian-weighted running mean (Ho et al. 2017), or one median of all.

With weights w_i (1, or 0 for pixels that must not be used) the mean at wavelength x is

    sum_i w_i flux_i g(x - x_i) / sum_i w_i g(x - x_i),    g(d) = exp(-d^2 / (2 width^2)),

each arm by itself. Ho et al. (2017, ApJ 836, 5) weight by inverse variance, too. In training all pixels of a spectrum
have the same, so that it cancels; observed spectra are treated alike, as one network is to see both.

Summed directly, 39,436 pixels take 1.6e9 Gaussians. But g changes little over width / 24, so that it may be
interpolated, both from where pixels lie to nodes that far apart and from nodes to pixels. To the nodes a cell's pixels
enter by the moments of their places, which is interpolation by polynomials of degree five. What is left is a
convolution over some hundred nodes.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starnet_hpc.kernels.continuum import arms_of
from starnet_hpc.kernels.forward import median

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_I8 = NDArray[np.int64]
_Mask = NDArray[np.bool_]
_Coefficients = tuple[np.float32, np.float32, np.float32, np.float32, np.float32, np.float32]

_CELLS_PER_WIDTH = 24
"""Interpolation of degree five then errs by 0.005 (distance / width / 24)^6 of a pixel's weight: 4e-7 at 5 widths."""
_SUPPORT = np.exp(-0.5 * 5.0**2)
"""A mean needs at least the weight of one pixel at five widths; further out it would hang on a few pixels' noise."""
_REACH = 8.0
"""The Gaussian is cut at this many widths, where 1e-8 of the least weight that counts is left."""
_NODES = np.arange(-2.0, 4.0) - 0.5
"""The nodes that a cell's pixels are interpolated with, from the cell's middle, in cells."""
_BASIS: _F8 = np.ascontiguousarray(np.linalg.inv(np.vander(_NODES, increasing=True)).T)
"""Coefficients [node, power] of the polynomials that are one at their node and zero at the others."""


class SmoothContinuum:
    """The Gaussian-weighted mean of spectra on one set of pixels."""

    def __init__(self, wavelength: _F8, avoid: _Mask, *, width: float = 50.0, gap: float = 10.0) -> None:
        """Prepare everything that depends on the pixels alone.

        Args:
            wavelength: pixel centres [pixels], angstrom, increasing.
            avoid: pixels [pixels] that must not be used (strong lines).
            width: standard deviation of the Gaussian, angstrom.
            gap: a wider step between pixels separates arms, angstrom.
        """
        self._allowed = ~np.asarray(avoid, dtype=bool)
        self._arms = [_Arm(slice(low, high), wavelength[low:high], width) for low, high in arms_of(wavelength, gap)]

    def fit(self, flux: _F4, usable: _Mask | None = None) -> _F4:
        """Return the mean [pixels]; NaN in an arm without a usable pixel.

        Where no usable pixel is near (five widths, or a little more if there are many), it goes straight on between the
        places that have some, or level from the nearest.

        Args:
            flux: [pixels].
            usable: pixels [pixels] that are neither missing nor masked; NaN and exact zeros are never used.
        """
        chosen = self._allowed if usable is None else self._allowed & usable
        flux = np.ascontiguousarray(flux, dtype=np.float32)
        out = np.empty(flux.size, dtype=np.float32)
        for arm in self._arms:
            # One call a step from here: compiled into one function, their loops vectorise no more.
            brought, weight = _on_nodes(flux[arm.pixels], chosen[arm.pixels], arm.place, arm.begin)
            above, below = _convolved(brought, arm.kernel), _convolved(weight, arm.kernel)
            mean, supported = _bridged(above, below)
            _at_pixels(above, below, mean, supported, arm.place, arm.begin, out[arm.pixels])
        return out


class MedianContinuum:
    """One level a spectrum, its median: nothing is removed, but networks see values near one."""

    def fit(self, flux: _F4, usable: _Mask | None = None) -> _F4:
        """Return the median of all usable pixels [pixels], all values the same; NaN if there are none.

        Args:
            flux: [pixels].
            usable: pixels [pixels] that are neither missing nor masked; NaN and exact zeros are never used.
        """
        chosen = np.isfinite(flux) & (flux != 0.0)
        if usable is not None:
            chosen &= usable
        return np.full(flux.size, median(flux[chosen]) if chosen.any() else np.nan, dtype=np.float32)


class _Arm:
    """The cells of one arm."""

    def __init__(self, pixels: slice, wavelength: _F8, width: float) -> None:
        self.pixels = pixels
        span = float(wavelength[-1] - wavelength[0]) or width
        cells = max(1, int(np.ceil(span * _CELLS_PER_WIDTH / width)))
        step = span / cells
        where = (wavelength - wavelength[0]) / step
        cell = np.minimum(where.astype(np.int64), cells - 1)
        self.place = (where - cell - 0.5).astype(np.float32)
        """Of each pixel, from its cell's middle, in cells."""
        self.begin = np.searchsorted(cell, np.arange(cells + 1)).astype(np.int64)
        """First pixel of each cell, and the end."""
        reach = min(int(np.ceil(_REACH * width / step)), cells + _NODES.size)
        self.kernel: _F8 = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)


# "reassoc" lets the sums vectorise: their last bit depends on the width of the processor's vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _on_nodes(flux: _F4, chosen: _Mask, place: _F4, begin: _I8) -> tuple[_F8, _F8]:
    """Fluxes and weights as the nodes around them [nodes] stand for them."""
    brought, weight = np.zeros((2, begin.size - 1 + _BASIS.shape[0] - 1))
    for cell in range(begin.size - 1):
        part = slice(begin[cell], begin[cell + 1])
        values, wanted, places = flux[part], chosen[part], place[part]
        a0, a1, a2, a3, a4, a5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        b0, b1, b2, b3, b4, b5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for p in range(values.size):
            good = wanted[p] and abs(values[p]) < np.float32(np.inf) and values[p] != np.float32(0.0)
            b = 1.0 if good else 0.0
            a = np.float64(values[p]) if good else 0.0
            u = np.float64(places[p])
            a0, b0 = a0 + a, b0 + b
            a, b = a * u, b * u
            a1, b1 = a1 + a, b1 + b
            a, b = a * u, b * u
            a2, b2 = a2 + a, b2 + b
            a, b = a * u, b * u
            a3, b3 = a3 + a, b3 + b
            a, b = a * u, b * u
            a4, b4 = a4 + a, b4 + b
            a, b = a * u, b * u
            a5, b5 = a5 + a, b5 + b
        for n in range(_BASIS.shape[0]):
            q = _BASIS[n]
            brought[cell + n] += a0 * q[0] + a1 * q[1] + a2 * q[2] + a3 * q[3] + a4 * q[4] + a5 * q[5]
            weight[cell + n] += b0 * q[0] + b1 * q[1] + b2 * q[2] + b3 * q[3] + b4 * q[4] + b5 * q[5]
    return brought, weight


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _convolved(values: _F8, kernel: _F8) -> _F8:
    reach = kernel.size // 2
    out = np.empty(values.size)
    for n in range(values.size):
        first, last = max(0, n - reach), min(values.size, n + reach + 1)
        near, weights = values[first:last], kernel[reach + first - n : reach + last - n]
        total = 0.0
        for k in range(near.size):
            total += near[k] * weights[k]
        out[n] = total
    return out


@njit(cache=True, nogil=True)
def _bridged(above: _F8, below: _F8) -> tuple[_F8, _Mask]:
    """The mean at each node [nodes], and whether it has support of its own; straight lines where it has none."""
    supported = below >= _SUPPORT
    mean = np.full(above.size, np.nan)  # and stays it, if no node has support
    last = -1
    for n in range(above.size):
        if not supported[n]:
            continue
        mean[n] = above[n] / below[n]
        for k in range(last + 1, n):
            share = (k - last) / (n - last) if last >= 0 else 1.0
            mean[k] = mean[n] * share + (mean[last] * (1.0 - share) if last >= 0 else 0.0)
        last = n
    for k in range(last + 1, above.size if last >= 0 else 0):
        mean[k] = mean[last]
    return mean, supported


# With NumPy's error model a division needs no look at its divisor first, so that it vectorises.
@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _at_pixels(above: _F8, below: _F8, mean: _F8, supported: _Mask, place: _F4, begin: _I8, out: _F4) -> None:
    for cell in range(begin.size - 1):
        part = slice(begin[cell], begin[cell + 1])
        places, level = place[part], out[part]
        if supported[cell : cell + _BASIS.shape[0]].all():
            # In units of the weight at hand: far from the pixels it is small, but no less exact.
            scale = 1.0 / below[cell + 2]
            a0, a1, a2, a3, a4, a5 = _polynomial(above[cell : cell + 6], scale)
            b0, b1, b2, b3, b4, b5 = _polynomial(below[cell : cell + 6], scale)
            for p in range(level.size):
                u = places[p]
                a = a0 + u * (a1 + u * (a2 + u * (a3 + u * (a4 + u * a5))))
                b = b0 + u * (b1 + u * (b2 + u * (b3 + u * (b4 + u * b5))))
                level[p] = a / b
        else:
            middle = np.float32(0.5 * (mean[cell + 2] + mean[cell + 3]))
            slope = np.float32(mean[cell + 3] - mean[cell + 2])
            for p in range(level.size):
                level[p] = middle + slope * places[p]


@njit(cache=True, nogil=True)
def _polynomial(nodes: _F8, scale: float) -> _Coefficients:
    """Coefficients of the polynomial through six nodes [6], by power of the place in their cell."""
    c = np.zeros(6)
    for n in range(6):
        for power in range(6):
            c[power] += _BASIS[n, power] * nodes[n] * scale
    f4 = np.float32
    return f4(c[0]), f4(c[1]), f4(c[2]), f4(c[3]), f4(c[4]), f4(c[5])
