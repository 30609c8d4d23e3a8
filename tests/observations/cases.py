"""Spectra written in the layouts of archives and pipelines, as far as the readers look."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

_F8 = NDArray[np.float64]


def write_text(path: Path, *columns: _F8, heading: str = "waveobs\tflux\terr", form: str = "%.10g") -> Path:
    """Write columns below a heading; iSpec's, if not told otherwise (then the first is nm)."""
    lines = ["\t".join(form % value for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([*([heading] if heading else []), *lines]) + "\n")
    return path


def write_harps(path: Path, flux: NDArray[Any], start: float, step: float, **header: Any) -> Path:
    """Write an s1d file of the DRS; a header value of None removes the keyword."""
    hdu = fits.PrimaryHDU(np.asarray(flux, dtype=np.float32))
    usual = {
        "CRPIX1": 1.0,
        "CRVAL1": start,
        "CDELT1": step,
        "OBJECT": "HD 1",
        "INSTRUME": "HARPS",
        "HIERARCH ESO DRS BERV": -12.3,
        "HIERARCH ESO DRS SPE EXT SN0": 20.0,
        "HIERARCH ESO DRS SPE EXT SN1": 80.0,
        "HIERARCH ESO DRS SPE EXT SN2": 90.0,
    }
    hdu.header.update({key: value for key, value in {**usual, **header}.items() if value is not None})
    hdu.writeto(path, overwrite=True)
    return path


def write_dot_s(path: Path, wavelength: _F8, *columns: _F8, star: str = "HD 1") -> Path:
    """Write a `.s` file of Libre-ESpRIT; wavelengths in angstrom, the error last among the columns."""
    rows = [f"***Reduced spectrum of '{star}'", f" {wavelength.size} {len(columns)}"]
    rows += [
        " ".join([f"{nm:10.5f}", *(f"{value:11.5e}" for value in row)])
        for nm, *row in zip(wavelength / 10, *columns, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_opera(path: Path, wavelength: _F8, flux: _F8, error: _F8, **header: Any) -> Path:
    """Write an `*i.fits`: normalised and plain intensity, each with and without wavelengths corrected on tellurics."""
    nm, level = wavelength / 10, flux.max()
    rows, names = [], []
    for note, shift in (("", 0.0), (", no autowave correction", 0.005)):
        for kind, scale in (("Normalized Intensity", level), ("UnNormalized Intensity", 1.0)):
            rows += [nm + shift, flux / scale, error / scale]
            names += [(name, kind + note) for name in ("Wavelength", "Intensity", "ErrorBar")]
    hdu = fits.PrimaryHDU(np.array(rows, dtype=np.float64))
    hdu.header["OBJECT"] = "HD 1"
    for number, name in enumerate(names, 1):
        hdu.header[f"COL{number}"] = name
    hdu.header.update(header)
    hdu.writeto(path, overwrite=True)
    return path


def in_orders(wavelength: _F8, count: int, overlap: int) -> NDArray[np.int64]:
    """Return the pixels of `count` orders one behind the other, neighbours with so many pixels in common."""
    ends = np.linspace(0, wavelength.size, count + 1).astype(int)
    parts = [
        np.arange(max(begin - overlap // 2, 0), min(end + overlap // 2, wavelength.size))
        for begin, end in pairwise(ends)
    ]
    return np.concatenate(parts)
