"""What the store of templates says of itself."""

from collections.abc import Iterable

from starnet_hpc.stores import Layout, readme

_ARRAYS = {
    "wavelength": "[samples] common to all templates, angstrom in air, equal steps of ln(wavelength)",
    "flux": "[templates, samples] point samples of the synthetic flux, in the unit of the grid's files",
    "labels": "[templates, labels] in the order of the attribute `label_names`: teff (K), logg (dex, cgs), feh and afe "
    "([Fe/H], [alpha/Fe], dex)",
    "source": "[templates] name of the file (and #row, where a file holds several) that the template was read from",
    "continuum": "[templates, k] true continuum, in the unit of the flux, at `continuum_wavelength`; "
    "NaN where the file does not know it",
    "continuum_wavelength": "[k] angstrom in air",
    "weight": "[templates] how often the augmentation uses the template, relative to the others",
}


def grid_readme(layout: Layout, columns: Iterable[str]) -> str:
    """Return the text for `grid.zarr` with these columns."""
    arrays = {name: _ARRAYS.get(name, "not described") for name in ("wavelength", "flux", *columns)}
    what = "templates of a grid of synthetic spectra, interpolated to common wavelengths by cubic splines."
    return readme("grid.zarr", layout, what=what, made_by="ingest", arrays=arrays, snr="templates have no noise.")
