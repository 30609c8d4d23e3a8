"""The shared tool's files of the same spectra in each format, and small ones of our own."""

import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.grids import TemplateSource, TemplateSpectrum, reader_for
from starnet_hpc.grids.template import Window
from tests.grids.templates import template

NODES = "data/reference_grid/ferre_nodes.npz"
TOOL_NAMES = {"mpia_nlte": "mpia"}


def air_to_vacuum(air: NDArray[np.float64]) -> NDArray[np.float64]:
    """VALD3's formula, the inverse of Birch & Downs (1994) by another fit."""
    s2 = (1e4 / air) ** 2
    index = 1 + 8.336624212083e-5 + 0.02408926869968 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return air * index


def write_with_tool(shared: Path, grid_format: str, folder: Path, low: float, high: float) -> Path:
    """Write the first 50 nodes (two [Fe/H], five Teff, five log g) in a format."""
    tool = runpy.run_path(str(shared / "tools/write_grid_files.py"))
    name = TOOL_NAMES.get(grid_format, grid_format)
    folder.mkdir(parents=True)
    tool[name](folder, *tool["load"](shared / NODES, 0, 50, low, high))
    return folder


def read(grid_format: str, path: Path, row: int | None = None, window: Window | None = None) -> TemplateSpectrum:
    return reader_for(grid_format).read(TemplateSource(path, row), window)


def write_phoenix(folder: Path, name: str = "lte05777-4.44-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits") -> Path:
    """Write a spectrum and its wavelengths."""
    made = template()
    waves = folder / "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits"
    fits.PrimaryHDU(air_to_vacuum(made.wavelength)).writeto(waves, overwrite=True)
    hdu = fits.PrimaryHDU(made.flux * np.float32(1e8))
    for key, value in zip(("PHXTEFF", "PHXLOGG", "PHXM_H", "PHXALPHA"), made.labels.values(), strict=True):
        hdu.header[key] = value
    hdu.header["PHXXI_L"] = 1.25
    (folder / name).parent.mkdir(exist_ok=True)
    hdu.writeto(folder / name, overwrite=True)
    return folder / name


def write_ambre(
    folder: Path, made: TemplateSpectrum | None = None, name: str = "p5777:g+4.4:m0.0:t01:z-0.50:a+0.20.AMBRE"
) -> Path:
    made = made or template()
    level = float(made.flux.max())
    np.savetxt(folder / name, np.c_[made.wavelength, made.flux / level, made.flux], fmt="%11.4f %9.6f %14.6e")
    return folder / name


def write_mpia(folder: Path, elements: str = "8 12 : 0.250 0.250", name: str = "5777_N") -> Path:
    made = template()
    head = ["parameters", "5777.0 4.44 -0.5 1.00 0.0 0.0", "", "", "", "", "", "", elements, "wavelength flux"]
    np.savetxt(folder / name, np.c_[made.wavelength, made.flux], fmt="%11.4f %14.6e", header="\n".join(head))
    return folder / name


FERRE_HEADER = {
    "ID": "'test'",
    "N_OF_DIM": "3",
    "N_P": "2 2 2",
    "NPIX": "801",
    "LABEL(1)": "'METALS'",
    "LABEL(2)": "'TEFF'",
    "LABEL(3)": "'LOGG'",
    "LLIMITS": "-0.5 5000. 3.0",
    "STEPS": "0.5 500. 1.0",
    "WAVE": "5140.0 0.05",
    "LOGW": "0",
    "VACUUM": "0",
    "RESOLUTION": "100000.",
}


def ferre_header(**changes: str | None) -> str:
    """Return a header; keywords replace or, if None, remove keys (`LABEL_1` stands for LABEL(1))."""
    keys: dict[str, str | None] = dict(FERRE_HEADER)
    for name, value in changes.items():
        keys[f"{name[:-2]}({name[-1]})" if name.startswith("LABEL_") else name] = value
    lines = [f" {key} = {value}" for key, value in keys.items() if value is not None]
    return "\n".join([" &SYNTH", *lines, " /", ""])


def ferre_rows() -> list[TemplateSpectrum]:
    """Return the templates at the eight nodes of the header, the last dimension fastest."""
    return [
        template(feh=feh, teff=teff, logg=logg)
        for feh in (-0.5, 0.0)
        for teff in (5000.0, 5500.0)
        for logg in (3.0, 4.0)
    ]


def write_ferre(
    folder: Path,
    header: str | None = None,
    rows: Sequence[NDArray[np.floating]] | None = None,
    name: str = "f_test.dat",
) -> Path:
    fluxes = [made.flux for made in ferre_rows()] if rows is None else rows
    lines = [" ".join(f"{value:.5e}" for value in flux) for flux in fluxes]
    (folder / name).write_text((header or ferre_header()) + "\n".join(lines) + "\n")
    return folder / name
