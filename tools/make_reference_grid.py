"""Write the reference grid as a folder that `grid.format: table` reads (docs/grids.md).

    python tools/make_reference_grid.py REFERENCE.npz FOLDER

The arrays of REFERENCE.npz: `wl` air angstrom; `par` Teff, log g, [Fe/H], [alpha/Fe], vmicro; `norm` uint16 = 65535 x
flux / continuum; `cont` continuum at every 50th sample, erg/s/cm2/A. FOLDER gets labels.csv and spectra.zarr.
"""

import argparse
from pathlib import Path

import numpy as np
import zarr

FULL = 65535.0
EVERY = 50
SHARD_ROWS = 64


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with np.load(options.reference) as data:
        write_table_grid(options.folder, data["wl"], data["par"], data["norm"], data["cont"])
    print(f"{options.folder}: set grid.format to table and grid.path to this folder")


def write_table_grid(
    folder: Path, wavelength: np.ndarray, labels: np.ndarray, norm: np.ndarray, continuum: np.ndarray
) -> None:
    """Write labels.csv and spectra.zarr.

    Args:
        folder: exists; what it has of these two is replaced.
        wavelength: [samples], angstrom in air.
        labels: [rows, 5], Teff K, log g, [Fe/H], [alpha/Fe], vmicro km/s.
        norm: [rows, samples], 65535 x flux / continuum.
        continuum: [rows, nodes], at every 50th sample, from the first to the last one.
    """
    np.savetxt(
        folder / "labels.csv", labels, fmt="%.10g", delimiter=",", header="teff,logg,feh,afe,vmicro", comments=""
    )
    group = zarr.open_group(folder / "spectra.zarr", mode="w")
    group.create_array("wavelength", data=wavelength, attributes={"medium": "air", "unit": "Angstrom"})
    # A row is a chunk of its own, since templates are read one by one.
    shape, rows = norm.shape, min(SHARD_ROWS, norm.shape[0])
    arrays = {
        name: group.create_array(name, shape=shape, chunks=(1, shape[1]), shards=(rows, shape[1]), dtype="f4")
        for name in ("flux", "continuum")
    }
    for low in range(0, shape[0], rows):
        block = slice(low, low + rows)
        level = np.array([np.interp(wavelength, wavelength[::EVERY], nodes) for nodes in continuum[block]])
        arrays["continuum"][block] = level
        arrays["flux"][block] = level * (norm[block] / FULL)


if __name__ == "__main__":
    main()
