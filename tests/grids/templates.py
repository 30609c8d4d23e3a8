"""Synthetic templates of a few lines, for tests that need files but no physics."""

import numpy as np

from starnet_hpc.grids import TemplateSpectrum

SUN = {"teff": 5777.0, "logg": 4.44, "feh": 0.0, "afe": 0.0}
_LINES = ((5148.3, 0.5), (5152.1, 0.3), (5155.9, 0.7), (5160.4, 0.2), (5163.0, 0.6), (5169.7, 0.4))


def template(*, low: float = 5140.0, high: float = 5180.0, step: float = 0.05, **labels: float) -> TemplateSpectrum:
    """Return a template of Gaussian lines that grow as it cools, on a linear grid [angstrom]."""
    wavelength = low + step * np.arange(round((high - low) / step) + 1)
    values = {**SUN, **labels}
    strength = np.exp((5777.0 - values["teff"]) / 4000.0) * 10.0 ** (0.3 * values["feh"])
    flux = np.ones_like(wavelength)
    for centre, depth in _LINES:
        flux -= min(depth * strength, 0.95) * np.exp(-0.5 * ((wavelength - centre) / 0.12) ** 2)
    continuum = 1e7 * (values["teff"] / 5777.0) ** 4
    flux32 = np.maximum(flux * continuum, 1e3).astype(np.float32)
    return TemplateSpectrum(wavelength, flux32, values, "made up", {"vmicro": 1.0})


def is_template(spectrum: TemplateSpectrum) -> bool:
    """Say whether the numbers of a spectrum can be those of one."""
    return bool(np.all(np.diff(spectrum.wavelength) > 0) and np.all(spectrum.flux > 0))
