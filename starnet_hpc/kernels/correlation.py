"""Radial velocities by cross-correlation with templates on a ln(wavelength) grid.

At each velocity a spectrum is fitted by a level plus a depth times the shifted template; what the fit takes off the
squared residuals is the square of their correlation (Tonry & Davis 1979, AJ 84, 1511), and its maximum is where the
likelihood has its own (Zucker 2003, MNRAS 342, 1291). The first look is coarse, at all velocities and templates at once
by Fourier transforms; then level, tilt, depth and velocity are fitted to the pixels themselves.

The curvature of the maximum tells an error that is right for white noise and a perfect template. Templates are few and
none is perfect, and what is wrong with a line pulls as a whole. So the error is that of a sum over stretches of the
spectrum, each as wide as some lines, by the scatter of what they contribute (Liang & Zeger 1986, Biometrika 73, 13).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from starnet_hpc.kernels.pixels import C_KMS, PixelIntegrals, doppler_steps

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_C8 = NDArray[np.complex64]
_I8 = NDArray[np.int64]
_Mask = NDArray[np.bool_]

FEWEST_PIXELS = 64
"""A spectrum with fewer usable pixels has no velocity."""
_FAINTEST = 1e-6
"""A template whose lines have a smaller mean square than this has none to speak of."""
_FARTHER = 2
"""The fit may leave the maximum of the first look by so many of its cells."""
_ROUNDS = 8
"""Steps of the fit; the first two or three do nearly all."""
_SETTLED_KMS = 1e-4
"""A step smaller than this ends the fit."""
_PROBE = 0.5
"""The template's slope is a difference over this many steps of the grid either way."""
_CELL = 0.5
"""Width of the cells of the first look, in full widths of the narrowest lines."""
_STRETCH = 8.0
"""Width of a stretch, in full widths of a line: what is symmetric in a line, or a blend, cancels within."""
_STRETCHES = 16
"""The range is cut into so many stretches at least, for their scatter to be known."""
_PARAMETERS = 4
_Fitted = tuple[float, float, float]
_UNFITTED: _Fitted = (0.0, 0.0, 1.0)
"""Level, tilt and depth of a template as it is."""
_PAD = 4
"""Points that are added beyond the reach of the largest velocity, for splines."""


@dataclass(frozen=True)
class Velocity:
    """What was found for one spectrum."""

    kms: float
    """Radial velocity, positive when receding; NaN if nothing can be told."""
    error: float
    """Its standard deviation, km/s; NaN with the velocity."""
    template: int
    """The template that matches best; -1 with NaN."""
    level: float = 0.0
    tilt: float = 0.0
    """What is added to the template's flux over 1, and how much more at the last pixel, and less at the first."""
    depth: float = 1.0
    """What the template's flux over 1 is multiplied by."""


NOTHING = Velocity(float("nan"), float("nan"), -1)


class VelocitySearch:
    """Finds the velocities of spectra on the pixels of one instrument, against a few templates."""

    def __init__(
        self, templates: _F4, widths: _F8, ln_start: float, ln_step: float, lower: _F8, upper: _F8, limit_kms: float
    ) -> None:
        """Prepare all that does not depend on the spectrum.

        Args:
            templates: normalised spectra at rest, as broad as the instrument (and rotation) makes them: coefficients of
                cubic B-splines on the ln(wavelength) grid [templates, n].
            widths: full width at half maximum of a sharp line in each of them [templates], km/s.
            ln_start: ln of the grid's first wavelength.
            ln_step: step of the grid in ln(wavelength).
            lower: lower pixel edges [pixels], angstrom, all inside the grid.
            upper: upper pixel edges [pixels], angstrom.
            limit_kms: velocities between minus and plus this are searched.
        """
        self._ln_step, self._step_kms = ln_step, C_KMS * ln_step
        self._low: _F8 = (np.log(lower) - ln_start) / ln_step
        self._high: _F8 = (np.log(upper) - ln_start) / ln_step
        middle = 0.5 * (self._low + self._high)
        self._place: _F8 = 2.0 * (middle - middle[0]) / (middle[-1] - middle[0]) - 1.0
        longest = float(middle[-1] - middle[0]) / _STRETCHES
        stretches = np.minimum(_STRETCH * widths / self._step_kms, longest)
        self._stretch = [(middle / length).astype(np.int64) for length in stretches.tolist()]
        # Cells of the first look; no narrower than pixels, or many would be empty.
        pixel = float(np.median(self._high - self._low))
        self._cell = max(1, round(max(_CELL * float(widths.min()) / self._step_kms, pixel)))
        self._cell_of: _I8 = (middle / self._cell).astype(np.int64)
        limit = int(np.ceil(doppler_steps(limit_kms, ln_step)))
        self._lags = limit // self._cell + 1
        # Beyond its ends a template goes on level, so that no shift leaves it; pixels there are not used.
        self._farthest = float(limit + _FARTHER * self._cell)
        reach = limit + _FARTHER * self._cell + _PAD
        self._n = templates.shape[1]
        self._padded = np.pad(templates, ((0, 0), (reach, reach)), mode="edge")
        self._pixels = PixelIntegrals(lower, upper, ln_start - reach * ln_step, ln_step)
        self._cells = self._n // self._cell + 1
        self._size = _fast_length(self._cells + self._lags + 1)
        whole = self._n // self._cell
        binned = templates[:, : whole * self._cell].reshape(len(templates), whole, self._cell).mean(axis=2) - 1.0
        # In float32 a transform takes a third of the time, and squared residuals are good to 1e-6.
        self._lines = self._transform(binned).conj()
        self._squares = self._transform(np.square(binned)).conj()
        self._covered = self._transform(np.ones(whole, dtype=np.float32)).conj()

    def __call__(self, flux: _F4, usable: _Mask) -> Velocity:
        """Return the velocity of a normalised spectrum.

        Args:
            flux: [pixels], continuum 1; anything where not usable.
            usable: pixels that are neither missing nor masked [pixels].
        """
        if np.count_nonzero(usable) < FEWEST_PIXELS:
            return NOTHING
        gain, noise = self._first_look(flux, usable)
        best, at = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if not gain[best, at] > 0.0:
            return NOTHING
        start = self._cell * (int(at) - self._lags + _vertex(gain[best], int(at)))
        shift, error, fitted = self._fit(int(best), flux, usable, float(start))
        doubt = self._elsewhere(gain.max(axis=0), int(at), noise)
        if not abs(shift - start) <= _FARTHER * self._cell:  # NaN, too: the fit has left the maximum
            shift, error, fitted = float(start), float(self._lags * self._cell), _UNFITTED
        kms = C_KMS * np.tanh(shift * self._ln_step)
        return Velocity(float(kms), float(np.hypot(error, doubt) * self._step_kms), int(best), *fitted)

    def at_rest(self, found: Velocity) -> _F4:
        """Return the flux [pixels] that a star would show at rest if it were the template that was found to match."""
        lines = self._pixels.mean_flux(self._padded[found.template], 0.0) - np.float32(1.0)
        model = 1.0 + found.level + found.tilt * self._place + found.depth * lines
        return np.asarray(model, dtype=np.float32)

    def _first_look(self, flux: _F4, usable: _Mask) -> tuple[_F8, float]:
        """Return what each template takes off the squared residuals [templates, 2 lags + 1], and the noise's variance.

        The level is free, and so is the depth, but lines must not be upside down.
        """
        count, total = _into_cells(flux, usable, self._cell_of, self._cells)
        filled = count > 0.0
        weight, signal = self._transform(count.astype(np.float32)), self._transform(total.astype(np.float32))
        pixels, level = self._lagged(weight * self._covered), self._lagged(signal * self._covered)
        pixels = np.maximum(pixels, 1.0)
        lines, squares = self._lagged(weight * self._lines), self._lagged(weight * self._squares)
        product = self._lagged(signal * self._lines) - level * lines / pixels
        spread = squares - lines * lines / pixels
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where((product > 0.0) & (spread > _FAINTEST * pixels), product * product / spread, 0.0)
        mean = total.sum() / count.sum()
        scatter = float((np.square(total[filled] - mean * count[filled]) / count[filled]).sum())
        return gain, max(scatter - float(gain.max()), 0.0) / max(int(filled.sum()) - _PARAMETERS, 1)

    def _transform(self, cells: _F4) -> _C8:
        """Return the Fourier transform [..., frequencies] of values in cells [..., cells]."""
        return np.asarray(rfft(cells, self._size))

    def _lagged(self, product: _C8) -> _F8:
        """Return the correlation [..., 2 lags + 1] behind a product of transforms, from the most negative lag on."""
        whole = irfft(product, self._size)
        lags = np.concatenate([whole[..., -self._lags :], whole[..., : self._lags + 1]], axis=-1)
        return np.asarray(lags, dtype=np.float64)

    def _elsewhere(self, gain: _F8, at: int, noise: float) -> float:
        """Return how far [steps] the velocity may be wrong because another maximum is nearly as likely."""
        with np.errstate(under="ignore"):
            likely = np.exp(-0.5 * (gain[at] - gain) / max(noise, np.finfo(np.float64).tiny))
        low, high = at, at
        while low > 0 and gain[low - 1] <= gain[low]:
            low -= 1
        while high < gain.size - 1 and gain[high + 1] <= gain[high]:
            high += 1
        away = np.arange(gain.size) - at
        others = likely.copy()
        others[low : high + 1] = 0.0
        return float(self._cell * np.sqrt((others * away * away).sum() / likely.sum()))

    def _fit(self, template: int, flux: _F4, usable: _Mask, shift: float) -> tuple[float, float, _Fitted]:
        """Return the shift [steps] at which a template fits best, its standard deviation, and level, tilt and depth.

        NaN if it does not fit.
        """
        coefficients = self._padded[template]
        nothing = (float("nan"), float("nan"), _UNFITTED)
        for _ in range(_ROUNDS):
            if abs(shift) > self._farthest:
                return nothing
            model = self._pixels.mean_flux(coefficients, shift)
            ahead = self._pixels.mean_flux(coefficients, shift + _PROBE)
            behind = self._pixels.mean_flux(coefficients, shift - _PROBE)
            slope = (ahead - behind) * np.float32(0.5 / _PROBE)
            seen = usable & (self._low - shift >= 0.0) & (self._high - shift <= self._n - 1.0)
            if np.count_nonzero(seen) < FEWEST_PIXELS:
                return nothing
            matrix, right = _normal_equations(flux, seen, self._place, model, slope)
            try:
                inverse = np.linalg.inv(matrix)
            except np.linalg.LinAlgError:
                return nothing
            fitted = inverse @ right
            depth = fitted[2]
            if not depth > 0.0:
                return nothing
            change = float(np.clip(fitted[3] / depth, -self._cell, self._cell))
            shift += change
            if abs(change) * self._step_kms < _SETTLED_KMS:
                break
        sums, stretches = _stretch_sums(
            flux, seen, self._place, model, slope, fitted, inverse[3], self._stretch[template]
        )
        if stretches <= _PARAMETERS:
            return nothing
        # As many stretches as there are parameters only serve to fit them.
        variance = sums / depth**2 * stretches / (stretches - _PARAMETERS)
        return shift, float(np.sqrt(variance)), (float(fitted[0]), float(fitted[1]), float(depth))


def _fast_length(least: int) -> int:
    """Return the shortest length, no less than `least`, whose only odd factor is 1, 3 or 5: transforms are fast."""
    return min(factor << int(np.ceil(np.log2(max(least / factor, 1.0)))) for factor in (1, 3, 5))


def _vertex(values: _F8, at: int) -> float:
    """Return where the parabola through a maximum and its neighbours has its own, -0.5 to 0.5 from the maximum."""
    if not 0 < at < values.size - 1:
        return 0.0
    below, middle, above = values[at - 1 : at + 2]
    bend = below - 2.0 * middle + above
    return float(np.clip(0.5 * (below - above) / bend, -0.5, 0.5)) if bend < 0.0 else 0.0


@njit(cache=True, nogil=True)
def _into_cells(flux: _F4, usable: _Mask, cell_of: _I8, cells: int) -> tuple[_F8, _F8]:
    """Number of usable pixels in each cell [cells], and the sum of their fluxes above 1."""
    count, total = np.zeros(cells), np.zeros(cells)
    for p in range(flux.size):
        if usable[p]:
            count[cell_of[p]] += 1.0
            total[cell_of[p]] += np.float64(flux[p]) - 1.0
    return count, total


@njit(cache=True, nogil=True)
def _normal_equations(flux: _F4, seen: _Mask, place: _F8, model: _F4, slope: _F4) -> tuple[_F8, _F8]:
    """Least squares for level, tilt, depth and depth times shift: matrix [4, 4] and right side [4]."""
    matrix, right = np.zeros((4, 4)), np.zeros(4)
    row = np.ones(4)
    for p in range(flux.size):
        if not seen[p]:
            continue
        row[1], row[2], row[3] = place[p], np.float64(model[p]) - 1.0, slope[p]
        value = np.float64(flux[p]) - 1.0
        for i in range(4):
            right[i] += row[i] * value
            for j in range(i, 4):
                matrix[i, j] += row[i] * row[j]
    for i in range(4):
        for j in range(i):
            matrix[i, j] = matrix[j, i]
    return matrix, right


@njit(cache=True, nogil=True)
def _stretch_sums(
    flux: _F4, seen: _Mask, place: _F8, model: _F4, slope: _F4, fitted: _F8, pull: _F8, stretch: _I8
) -> tuple[float, int]:
    """Sum over stretches of the squares of what each adds to the last parameter by its residuals; and their number."""
    squares, inside = 0.0, 0.0
    stretches, here, filled = 0, stretch[0], False
    for p in range(flux.size):
        if stretch[p] != here:
            squares += inside * inside
            stretches += 1 if filled else 0
            here, inside, filled = stretch[p], 0.0, False
        if seen[p]:
            filled = True
            lines, change = np.float64(model[p]) - 1.0, np.float64(slope[p])
            residual = flux[p] - 1.0 - fitted[0] - fitted[1] * place[p] - fitted[2] * lines - fitted[3] * change
            inside += residual * (pull[0] + pull[1] * place[p] + pull[2] * lines + pull[3] * change)
    squares += inside * inside
    stretches += 1 if filled else 0
    return squares, stretches
