"""Echelle orders that lie one behind the other in a file and overlap: merged into one spectrum."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.kernels.rebin import pixel_edges, rebin

_F8 = NDArray[np.float64]

_FEWEST_PIXELS = 32
"""An order has more; where wavelengths go back after fewer, rows are out of order."""
_LONGEST_STEP = 4.0
"""An order's first step is not longer than this many usual ones."""
_WHOLE = 1e-6
"""Share of a pixel that may be missing through rounding."""


@dataclass(frozen=True)
class Pixels:
    """Flux in pixels that follow each other in wavelength."""

    wavelength: _F8
    """Pixel centres [n], angstrom."""
    flux: _F8
    error: _F8
    """Standard deviation of the flux [n]."""
    bad: NDArray[np.bool_]


def order_starts(wavelength: _F8) -> list[int]:
    """Return where orders begin: the first pixel, and every one where wavelengths [n] go back; [0] if they cannot be.

    What goes back after a few pixels, or comes forth again at once, is no order but rows in disorder, which the
    reader's own check names.
    """
    steps = np.diff(wavelength)
    starts = [0, *(np.flatnonzero(steps < 0) + 1).tolist()]
    lengths = np.diff([*starts, wavelength.size])
    if lengths.min() < _FEWEST_PIXELS:
        return [0]
    usual = float(np.median(np.abs(steps)))
    return starts if all(steps[start] < _LONGEST_STEP * usual for start in starts) else [0]


def merge_orders(pixels: Pixels, starts: list[int], path: Path) -> Pixels:
    """Return one spectrum from orders in any sequence.

    Pixels outside overlaps stay as they are. Where two orders overlap, both are rebinned on to common pixels of the
    orders' width, and averaged with the inverse of their variances as weights; a bad pixel of one order takes no part.

    Raises:
        ObservationFormatError: an order lies inside another, or repeats a wavelength.
    """
    stops = [*starts[1:], pixels.wavelength.size]
    parts = [_Strip.of(pixels, slice(*ends), path) for ends in zip(starts, stops, strict=True)]
    merged = reduce(lambda left, right: _joined(left, right, path), sorted(parts, key=lambda part: part.edges[0]))
    kept = ~merged.gap
    return Pixels(
        (0.5 * (merged.edges[1:] + merged.edges[:-1]))[kept],
        merged.flux[kept],
        np.sqrt(merged.variance[kept]),
        merged.bad[kept],
    )


@dataclass(frozen=True)
class _Strip:
    """Contiguous pixels; a gap between pixels is a bad one."""

    edges: _F8
    flux: _F8
    variance: _F8
    bad: NDArray[np.bool_]
    gap: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels: Pixels, part: slice, path: Path) -> "_Strip":
        wavelength = pixels.wavelength[part]
        back = np.flatnonzero(np.diff(wavelength) <= 0)
        if back.size:
            k = int(back[0]) + part.start
            raise ObservationFormatError(
                f"{path}: the wavelength of pixel {k + 1}, {pixels.wavelength[k + 1]:.4f} A, repeats that of pixel "
                f"{k}; keep one of equal pixels"
            )
        edges, place = pixel_edges(wavelength)
        flux, variance = np.zeros((2, edges.size - 1))
        gap = np.ones(edges.size - 1, dtype=bool)
        gap[place] = False
        bad = gap.copy()
        error = pixels.error[part]
        # Beyond 1e150 the variance has no number; no flux has such an error.
        unusable = pixels.bad[part] | ~np.isfinite(pixels.flux[part]) | ~((error > 1e-150) & (error < 1e150))
        bad[place] = unusable
        flux[place] = np.where(unusable, 0.0, pixels.flux[part])
        variance[place] = np.where(unusable, 0.0, error) ** 2
        return cls(edges, flux, variance, bad, gap)

    def on(self, edges: _F8) -> tuple[_F8, _F8]:
        """Return flux and inverse variance in other pixels; 0 where any part of a pixel is bad or missing."""
        lower, upper = edges[:-1], edges[1:]
        flux, missing = rebin(self.edges, self.flux, self.bad, lower, upper)
        # Independent noise: the mean over a pixel has the mean of variance times width, over its own width.
        noise, _ = rebin(self.edges, self.variance * np.diff(self.edges), self.bad, lower, upper)
        whole = (missing < _WHOLE) & (noise > 0)
        return flux, np.divide(upper - lower, noise, out=np.zeros_like(noise), where=whole)


def _joined(left: _Strip, right: _Strip, path: Path) -> _Strip:
    """Return two strips as one; the second begins behind the beginning of the first."""
    if right.edges[-1] <= left.edges[-1]:
        raise ObservationFormatError(
            f"{path}: the order from {right.edges[0]:.2f} to {right.edges[-1]:.2f} A lies inside another one; "
            f"are there two spectra in the file? Keep one of them"
        )
    begin = int(np.searchsorted(left.edges, right.edges[0], side="right")) - 1
    end = int(np.searchsorted(right.edges, left.edges[-1], side="left"))
    if begin == left.edges.size - 1:  # no overlap: a gap between the two
        return _together(left, _gap(left.edges[-1], right.edges[0]), right, begin, 0)
    low, high = left.edges[begin], right.edges[end]
    step = 0.5 * (np.median(np.diff(left.edges)) + np.median(np.diff(right.edges)))
    edges = np.linspace(low, high, max(int(np.ceil((high - low) / step)), 1) + 1)
    (flux_left, weight_left), (flux_right, weight_right) = left.on(edges), right.on(edges)
    weight = weight_left + weight_right
    bad = weight == 0
    safe = np.where(bad, 1.0, weight)
    flux = (weight_left * flux_left + weight_right * flux_right) / safe
    both = _Strip(edges, flux, np.where(bad, 0.0, 1.0 / safe), bad, np.zeros_like(bad))
    return _together(left, both, right, begin, end)


def _together(left: _Strip, middle: _Strip, right: _Strip, begin: int, end: int) -> _Strip:
    """Return the first `begin` pixels of one, all of the middle, and what follows pixel `end` of the other."""

    def chained(name: str) -> NDArray[np.float64]:
        parts = (getattr(left, name)[:begin], getattr(middle, name), getattr(right, name)[end:])
        return np.concatenate(parts)

    return _Strip(
        np.concatenate((left.edges[:begin], middle.edges, right.edges[end + 1 :])),
        chained("flux"),
        chained("variance"),
        chained("bad").astype(bool),
        chained("gap").astype(bool),
    )


def _gap(low: float, high: float) -> _Strip:
    if not high > low:
        return _Strip(np.array([low]), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))
    one = np.ones(1, dtype=bool)
    return _Strip(np.array([low, high]), np.zeros(1), np.zeros(1), one, one)
