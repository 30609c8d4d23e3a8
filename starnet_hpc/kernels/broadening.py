"""Line spread function and stellar rotation as one kernel in velocity.

On a ln(wavelength) grid both act as convolutions with a fixed width, so they are one convolution. Its result is wanted
as the coefficients of a cubic spline (kernels/pixels.py integrates that over pixels), so the filter that turns samples
into spline coefficients is folded into the kernel: one pass over the spectrum does all three.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starnet_hpc.kernels.gauss import GAUSS_REACH, squared_frequencies, taps_of

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]

_POLE = np.sqrt(3.0) - 2.0
"""Pole of the cubic B-spline's inverse filter (Unser et al. 1993): it decays as 0.268^|k|."""
_FILTER_REACH = 12
"""0.268^12 = 1e-7: float32's own precision."""
_UNROLL = 8
"""Taps worked on together; kernels are padded with zeros to a multiple of it."""
_BLOCK = 256
"""Outputs worked on together: they stay in the first cache while all taps pass over them."""
COARSEST = 1.2
"""Largest step of the grid in sigmas of the line spread function."""


def rotation_gauss_profile(velocity: _F8, sigma: float, vsini: float, epsilon: float) -> _F8:
    """Return the density [1/(km/s)] at `velocity` [km/s] of a Gaussian convolved with a rotation profile.

    The rotation profile is Gray's (2005, "The observation and analysis of stellar photospheres", eq. 18.14). With
    v = vsini cos(t) the convolution integral becomes one over t, without the root that is infinitely steep at vsini:
    the trapezoidal rule over t (Gauss-Chebyshev quadrature) is good to 1e-5 of the peak for any vsini, 0 included.

    Args:
        velocity: where to evaluate [n], km/s.
        sigma: of the Gaussian, km/s, > 0.
        vsini: projected rotational velocity, km/s, >= 0.
        epsilon: linear limb-darkening coefficient, 0 to 1.

    Raises:
        ValueError: a parameter is outside its range.
    """
    _check(sigma, vsini, epsilon)
    profile: _F8 = _profile(
        np.ascontiguousarray(velocity, dtype=np.float64), float(sigma), float(vsini), float(epsilon)
    )
    return profile


def spline_kernel(sigma: float, vsini: float, epsilon: float, step: float) -> _F4:
    """Return the taps [odd, then zeros up to a multiple of 8] from samples to coefficients of the broadened spline.

    The kernel is sampled, not averaged over cells: applied to a spline this is the trapezoidal rule for the convolution
    integral, whose error is exp(-2 (pi sigma / step)^2), below 2e-6 for all steps that are accepted.

    Args:
        sigma: of the Gaussian line spread function, km/s.
        vsini: projected rotational velocity, km/s.
        epsilon: linear limb-darkening coefficient, 0 to 1.
        step: of the ln(wavelength) grid, km/s; at most 1.2 sigma.

    Raises:
        ValueError: a parameter is outside its range, or the grid is too coarse for the line spread function.
    """
    _check(sigma, vsini, epsilon)
    if not 0.0 < step <= COARSEST * sigma:
        raise ValueError(
            f"a grid of {step:.3g} km/s steps cannot carry a line spread function of sigma {sigma:.3g} km/s"
        )
    taps: _F4 = _spline_kernel(float(sigma), float(vsini), float(epsilon), float(step))
    return taps


def finishing_kernel(sigma: float, vsini: float, epsilon: float, step: float) -> _F4:
    """Return taps as `spline_kernel` does for a Gaussian that is too narrow for the grid, or none at all.

    That is what a template still lacks which has been smoothed before, nearly or just as much as the instrument does.
    The taps are worked out from the profiles' transforms, right for what a well sampled template holds; without
    rotation and Gaussian nothing is left but the filter from samples to spline coefficients.

    Args:
        sigma: of the Gaussian, km/s, >= 0.
        vsini: projected rotational velocity, km/s.
        epsilon: linear limb-darkening coefficient, 0 to 1.
        step: of the ln(wavelength) grid, km/s; the template's own width must bear it.

    Raises:
        ValueError: a parameter is outside its range.
    """
    if not 0.0 <= sigma < np.inf:
        raise ValueError(f"sigma must not be negative, got {sigma} km/s")
    _check_rotation(vsini, epsilon)
    width = vsini / step
    square = squared_frequencies(width + GAUSS_REACH * sigma / step)
    # The quadrature of `_profile`, transformed: exact once its nodes are closer than half a wave in the angle.
    angle = np.pi * np.arange(1, (count := 16 + int(2.0 * width)) + 1) / (count + 1)
    weight = (2.0 * (1.0 - epsilon) + 0.5 * np.pi * epsilon * np.sin(angle)) * np.sin(angle) ** 2
    turning = np.cos(np.outer(np.sqrt(square), width * np.cos(angle))) @ weight / weight.sum()
    # A cubic B-spline at the grid's points is 1/6, 4/6, 1/6: samples divided by its transform are coefficients.
    spline = (2.0 + np.cos(np.linspace(0.0, np.pi, square.size))) / 3.0
    taps = taps_of(np.exp(-0.5 * (sigma / step) ** 2 * square) * turning / spline)
    padded = np.zeros(-(-taps.size // _UNROLL) * _UNROLL, dtype=np.float32)
    padded[: taps.size] = taps / taps.sum()
    return padded


def half_length(taps: _F4) -> int:
    """Return the number of taps on either side of the middle one."""
    return int(np.flatnonzero(taps)[-1]) // 2


def convolve(samples: _F4, taps: _F4) -> _F4:
    """Return the convolution [n] of samples [n] with a symmetric kernel; beyond the ends the end values go on."""
    half, n = half_length(taps), samples.size
    # The unrolled loop reads up to a block of outputs and eight taps beyond the last sample.
    padded = np.empty(n + taps.size + _BLOCK + _UNROLL, dtype=np.float32)
    padded[:half] = samples[0]
    padded[half : half + n] = samples
    padded[half + n :] = samples[-1]
    broadened: _F4 = _convolve(padded, taps, n)
    return broadened


def _check(sigma: float, vsini: float, epsilon: float) -> None:
    if not 0.0 < sigma < np.inf:
        raise ValueError(f"sigma must be positive, got {sigma} km/s")
    _check_rotation(vsini, epsilon)


def _check_rotation(vsini: float, epsilon: float) -> None:
    if not 0.0 <= vsini < np.inf:
        raise ValueError(f"vsini must not be negative, got {vsini} km/s")
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"the limb-darkening coefficient epsilon lies between 0 and 1, got {epsilon}")


@njit(cache=True, nogil=True)
def _profile(velocity: _F8, sigma: float, vsini: float, epsilon: float) -> _F8:
    nodes = 16 + int(4.0 * vsini / sigma)
    out = np.zeros(velocity.size)
    step = np.pi / (nodes + 1)
    norm = 0.0
    for q in range(1, nodes + 1):
        root = np.sin(q * step)
        weight = (2.0 * (1.0 - epsilon) + 0.5 * np.pi * epsilon * root) * root * root
        norm += weight
        centre = vsini * np.cos(q * step)
        for i in range(velocity.size):
            d = (velocity[i] - centre) / sigma
            out[i] += weight * np.exp(-0.5 * d * d)
    area: float = norm * sigma * np.sqrt(2.0 * np.pi)
    return out / area


@njit(cache=True, nogil=True)
def _spline_kernel(sigma: float, vsini: float, epsilon: float, step: float) -> _F4:
    reach = int(np.ceil((vsini + GAUSS_REACH * sigma) / step))
    # Only half of the symmetric profile is evaluated.
    half = _profile(np.arange(float(reach + 1)) * step, sigma, vsini, epsilon)
    half /= half[0] + 2.0 * half[1:].sum()
    full = np.zeros(2 * (reach + _FILTER_REACH) + 1)
    middle = reach + _FILTER_REACH
    gain = np.sqrt(3.0)  # -6 z / (1 - z^2) at the pole z
    for k in range(-_FILTER_REACH, _FILTER_REACH + 1):
        weight = gain * _POLE ** abs(k)
        for i in range(-reach, reach + 1):
            full[middle + k + i] += weight * half[abs(i)]
    full /= full.sum()
    taps = np.zeros(-(-full.size // _UNROLL) * _UNROLL, dtype=np.float32)
    for i in range(full.size):
        taps[i] = full[i]
    return taps


# "contract" allows a fused multiply-add, nothing else: the order of the sum is the one written here.
@njit(cache=True, nogil=True, fastmath={"contract"}, boundscheck=False)
def _convolve(padded: _F4, taps: _F4, n: int) -> _F4:
    out = np.zeros(-(-n // _BLOCK) * _BLOCK, dtype=np.float32)
    for start in range(0, n, _BLOCK):
        total = out[start : start + _BLOCK]
        for j in range(0, taps.size, _UNROLL):
            t0, t1, t2, t3 = taps[j], taps[j + 1], taps[j + 2], taps[j + 3]
            t4, t5, t6, t7 = taps[j + 4], taps[j + 5], taps[j + 6], taps[j + 7]
            x = padded[start + j : start + j + _BLOCK + _UNROLL]
            for i in range(_BLOCK):
                total[i] += (
                    t0 * x[i] + t1 * x[i + 1] + t2 * x[i + 2] + t3 * x[i + 3]
                    + t4 * x[i + 4] + t5 * x[i + 5] + t6 * x[i + 6] + t7 * x[i + 7]
                )  # fmt: skip
    return out[:n]
