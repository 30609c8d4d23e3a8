"""What every reader of a synthetic grid hands over: one template, checked, in the package's units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError

PLAUSIBLE: dict[str, tuple[float, float]] = {
    "teff": (500.0, 100_000.0),
    "logg": (-2.0, 10.0),
    "feh": (-10.0, 3.0),
    "afe": (-3.0, 3.0),
}
"""Wider than any grid: outside, a keyword holds something else than the label (log Teff, Z, a placeholder)."""

_PLAUSIBLE_ABUNDANCE = (-5.0, 5.0)
_FEWEST_POINTS = 16

Window = tuple[float, float]
"""Shortest and longest wavelength that is wanted [angstrom, air]."""

WINDOW_MARGIN = 80
"""Samples on either side of a window that are read, too: more than an interpolating spline looks at."""


@dataclass(frozen=True, order=True)
class TemplateSource:
    """Where one template lies: a file, and which of its spectra if it holds several."""

    path: Path
    row: int | None = None

    @property
    def name(self) -> str:
        """Name for messages and for the store: the file's, and the row's number if there are several."""
        return self.path.name if self.row is None else f"{self.path.name}#{self.row}"


@dataclass(frozen=True)
class TemplateSpectrum:
    """One synthetic spectrum. Fluxes are samples at points, not averages over pixels."""

    wavelength: NDArray[np.float64]
    """Wavelengths of the samples [n], angstrom in air, increasing."""
    flux: NDArray[np.floating[Any]]
    """Flux [n] per unit wavelength, in any unit (the continuum is divided out later)."""
    labels: Mapping[str, float]
    """Labels by name (K, dex): those of `labels.GRID_LABELS` that the file knows, and of elements."""
    source: str
    """`TemplateSource.name` of where it was read."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """What else the file says (`vmicro` in km/s); nothing is trained on it."""
    resolution: float | None = None
    """lambda / FWHM that the samples have already been smoothed to; None: as sharp as they were computed."""
    continuum: NDArray[np.floating[Any]] | None = None
    """True continuum at the samples [n], in the unit of the flux, where the format knows it."""


class GridReader(Protocol):
    """A grid format. A further one is one file with such a class, an entry in `registry.py` and in `GridFormat`."""

    @property
    def format(self) -> str:
        """Name of the format, the value of `grid.format`."""

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels that the grid in a folder varies, in the package's order.

        Raises:
            MissingInputError, GridFormatError: where the files have to be asked; as `sources`.
        """

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the templates that a folder holds, sorted by name; their labels are not read yet.

        Raises:
            MissingInputError: the folder is not there, or holds none.
            GridFormatError: it cannot be read.
        """

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return the files that templates depend on besides their own, all in the grid's folders."""

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return one template, checked.

        Args:
            source: where it lies.
            window: samples further outside than `WINDOW_MARGIN` may be left out, and need not be looked at.

        Raises:
            GridFormatError: the file is not what the format promises; names the file, the place and the remedy.
            EmptyNodeError: the node is there, but nobody computed its spectrum.
            MissingInputError: the file is not there any more.
        """


def part_inside(wavelength: NDArray[np.float64], window: Window | None) -> slice:
    """Return which samples lie in a window or so close to it that they are read, too; some in any case."""
    if window is None:
        return slice(0, wavelength.size)
    first, last = np.searchsorted(wavelength, window)
    start = max(min(int(first), wavelength.size) - WINDOW_MARGIN, 0)
    return slice(start, min(int(last) + WINDOW_MARGIN, wavelength.size))


def check_template(template: TemplateSpectrum, path: Path) -> TemplateSpectrum:
    """Return the template if its numbers can be those of a spectrum.

    Raises:
        GridFormatError: with the file, the first sample that is wrong, and what to do.
    """
    wavelength, flux = template.wavelength, template.flux
    if wavelength.ndim != 1 or wavelength.shape != flux.shape or wavelength.size < _FEWEST_POINTS:
        raise GridFormatError(
            f"{path}: expected at least {_FEWEST_POINTS} pairs of wavelength and flux, "
            f"got arrays of shape {wavelength.shape} and {flux.shape}"
        )
    _check_wavelength(wavelength, path)
    if not flux.min() > 0 or not np.isfinite(flux.max()):  # `not >` catches NaN, too, and costs one pass each
        row = int(np.flatnonzero(~(flux > 0) | ~np.isfinite(flux))[0])
        raise GridFormatError(
            f"{path}: flux[{row}] at {wavelength[row]:.3f} A is {flux[row]:g}; fluxes must be positive and finite: "
            f"get the file again, or leave it out (grid.on_error: skip)"
        )
    if template.continuum is not None:
        _check_continuum(template.continuum, wavelength, path)
    _check_labels(template.labels, path)
    return template


def _check_continuum(continuum: NDArray[np.floating[Any]], wavelength: NDArray[np.float64], path: Path) -> None:
    if continuum.shape != wavelength.shape:
        raise GridFormatError(f"{path}: the continuum has shape {continuum.shape}, the wavelengths {wavelength.shape}")
    odd = np.flatnonzero(~((continuum > 0) & np.isfinite(continuum)))
    if odd.size:
        raise GridFormatError(
            f"{path}: continuum[{odd[0]}] at {wavelength[odd[0]]:.3f} A is {continuum[odd[0]]:g}; it must be positive "
            f"and finite: get the file again, or leave the continuum out"
        )


def _check_wavelength(wavelength: NDArray[np.float64], path: Path) -> None:
    step = np.diff(wavelength)
    if step.min() > 0 and wavelength[0] > 0 and np.isfinite(wavelength[-1]):
        return
    odd = np.flatnonzero(~np.isfinite(wavelength) | (wavelength <= 0))
    if odd.size:
        raise GridFormatError(f"{path}: wavelength[{odd[0]}] is {wavelength[odd[0]]:g}; get the file again")
    row = int(np.flatnonzero(step <= 0)[0])
    kind = "repeats" if step[row] == 0 else "is smaller than"
    raise GridFormatError(
        f"{path}: wavelength[{row + 1}] = {wavelength[row + 1]:.4f} A {kind} wavelength[{row}] = "
        f"{wavelength[row]:.4f} A; wavelengths must increase: sort them, and keep one of equal ones"
    )


def _check_labels(labels: Mapping[str, float], path: Path) -> None:
    for name, value in labels.items():
        low, high = PLAUSIBLE.get(name, _PLAUSIBLE_ABUNDANCE)
        if not low <= value <= high:  # false for NaN, too
            raise GridFormatError(f"{path}: {name} = {value:g} is not within {low:g} to {high:g}: another quantity?")
