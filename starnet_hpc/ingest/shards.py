"""The second pass: templates on the common wavelengths, a shard at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel
from starnet_hpc.grids import TemplateSource, reader_for
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.stores import Layout, write_shard


@dataclass(frozen=True)
class Shard:
    """One shard's number, and where its templates lie."""

    number: int
    sources: tuple[TemplateSource, ...]
    grid_formats: tuple[str, ...]
    """Name of the reader of each."""


@dataclass(frozen=True)
class ShardWriter:
    """The task of the second pass, for `parallel.each`."""

    path: Path
    """The store."""
    layout: Layout
    recipe_digest: str
    wavelength: NDArray[np.float64]
    """The common wavelengths [samples], angstrom in air."""

    def __call__(self, shard: Shard) -> int:
        """Write one shard of `grid.zarr`, and return its number of templates."""
        with parallel.computing():
            flux = interpolated(shard.sources, shard.grid_formats, self.wavelength)
            facts = {"flux_min": float(flux.min()), "flux_max": float(flux.max())}
        write_shard(self.path, self.layout, self.recipe_digest, shard.number, flux, facts)
        return len(shard.sources)


def interpolated(
    sources: Sequence[TemplateSource], grid_formats: Sequence[str], wavelength: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the fluxes [templates, samples] at common wavelengths [samples, angstrom], in the files' own unit.

    Raises:
        GridFormatError: a file changed since the census, and is bad now.
    """
    window = (float(wavelength[0]), float(wavelength[-1]))
    flux = np.empty((len(sources), wavelength.size), dtype=np.float32)
    native: NDArray[np.float64] = np.empty(0)
    spline: CubicSpline | None = None
    for row, (source, grid_format) in enumerate(zip(sources, grid_formats, strict=True)):
        template = reader_for(grid_format).read(source, window)
        # Files of one grid share their wavelengths, and with them all of the spline but the values.
        if spline is None or not np.array_equal(template.wavelength, native):
            native, spline = template.wavelength, CubicSpline(template.wavelength, wavelength)
        flux[row] = spline(template.flux)
    return flux
