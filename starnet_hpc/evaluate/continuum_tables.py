"""Tables of the continuum: its bias with noise and temperature (paper, Fig. A1), and spectra with it (Fig. A2)."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate.continua import Bias, Continua, Examples
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.statistics import Floats, median, robust_std

HELD_OUT, SURVEY = "held-out", "survey"
_TEFF_STEPS = (250.0, 500.0, 1000.0, 2000.0, 5000.0)
_MOST_BINS = 6
_MOST_PIXELS = 1500
"""Of each example spectrum, evenly spread: more cannot be told apart in a figure, and make files heavy."""


def bias(name: str, caption: str, found: Bias) -> Table:
    """Return the median offset of the continuum [%] for each level of noise, in bins of Teff and of all templates."""
    columns = (
        Column("teff_low", "Teff from", "Lower end of the bin [K]"),
        Column("teff_high", "to", "Upper end of the bin [K]"),
        Column("noise_percent", "noise [%]", "Standard deviation of a pixel's noise over the median flux"),
        Column("n", "N", "Templates that the numbers rest on; one spectrum of each at each level of noise"),
        Column("offset_percent", "offset [%]", "Median over templates", "offset_percent_error"),
        Column("scatter_percent", "scatter [%]", "1.4826 x median absolute deviation of templates from the median"),
    )
    rows: list[Row] = []
    for low, high, chosen in _teff_bins(found.teff):
        for noise, offsets in zip(found.noise, found.offset[chosen].T, strict=True):
            middle = median(100.0 * offsets)
            rows.append(
                {
                    "teff_low": low,
                    "teff_high": high,
                    "noise_percent": 100.0 * float(noise),
                    "n": int(chosen.sum()),
                    "offset_percent": middle.value,
                    "offset_percent_error": middle.error,
                    "scatter_percent": robust_std(100.0 * offsets).value,
                }
            )
    return table(name, caption, columns, rows)


def example_spectra(name: str, caption: str, found: Continua, limit: int) -> Table:
    """Return a few spectra: flux and continua in units of the spectrum's median, and flux / continuum.

    Held-out spectra first, then as many of the survey; of long ones every few pixels.
    """
    keys = ("wavelength_angstrom", "flux", "continuum", "true_continuum", "normalised")
    columns = (Column("sample"), Column("number"), Column("spectrum"), *(Column(key) for key in keys))
    rows: list[Row] = []
    for sample, examples in ((HELD_OUT, found.held_out), (SURVEY, found.survey)):
        if examples is None:
            continue
        for number, k in enumerate(_spread(examples, limit), 1):
            about: Row = {"sample": sample, "number": number, "spectrum": examples.titles[k]}
            pixels = zip(*_pixels(examples, k), strict=True)
            rows += [{**about, **dict(zip(keys, values, strict=True))} for values in pixels]
    return table(name, caption, columns, rows)


def _pixels(examples: Examples, k: int) -> list[list[float]]:
    """Return wavelength, flux, continuum, true continuum and flux over continuum of a spectrum at some pixels."""
    flux, continuum, true = (values[k] for values in (examples.flux, examples.continuum, examples.true_continuum))
    scale = np.nanmedian(flux)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = (examples.wavelength, flux / scale, continuum / scale, true / scale, flux / continuum)
    step = -(-flux.size // _MOST_PIXELS)
    return [column[::step].round(4).tolist() for column in columns]


def _spread(examples: Examples, limit: int) -> list[int]:
    """Return at most so many of the examples, evenly spaced."""
    count = len(examples.titles)
    return [int(k) for k in np.unique(np.linspace(0, count - 1, min(limit, count)).astype(int))]


def _teff_bins(teff: Floats) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """Return ends [K] and templates [n] of bins of equal, round width that are not empty."""
    span = float(np.ptp(teff))
    step = next((step for step in _TEFF_STEPS if span / step <= _MOST_BINS), max(span, 1.0))
    lows = step * np.arange(np.floor(teff.min() / step), np.floor(teff.max() / step) + 1)
    bins = [(float(low), float(low + step), (teff >= low) & (teff < low + step)) for low in lows]
    return [one for one in bins if one[2].any()]
