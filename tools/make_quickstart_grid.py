"""Cut the slice of the reference grid that ships with the package (starnet_hpc/launch/quickstart_data/grid.npz).

    python tools/make_quickstart_grid.py REFERENCE.npz

The reference grid's arrays: `wl` air angstrom; `par` Teff, log g, [Fe/H], [alpha/Fe], vmicro; `norm` uint16 = 65535 x
flux / continuum; `cont` continuum at every 50th pixel. Its labels are a Sobol sequence, so the first rows fill the box.
"""

import argparse
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "starnet_hpc" / "launch" / "quickstart_data" / "grid.npz"
EVERY = 50


def main() -> None:
    """Write the slice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--count", type=int, default=830)
    parser.add_argument("--range", type=float, nargs=2, default=(5145.5, 5204.5), metavar="A")
    options = parser.parse_args()
    data = np.load(options.reference)
    wavelength = data["wl"]
    # Whole stretches between the continuum's nodes, so that its samples stay its samples.
    low = int(np.searchsorted(wavelength, options.range[0])) // EVERY * EVERY
    high = -(-int(np.searchsorted(wavelength, options.range[1])) // EVERY) * EVERY + 1
    rows = slice(0, options.count)
    np.savez_compressed(
        OUT,
        wavelength=wavelength[low:high],
        flux=data["norm"][rows, low:high],
        continuum=data["cont"][rows, low // EVERY : (high - 1) // EVERY + 1],
        continuum_every=EVERY,
        labels=data["par"][rows],
    )
    print(f"{OUT}: {OUT.stat().st_size / 1e6:.2f} MB, {wavelength[low]:.2f}-{wavelength[high - 1]:.2f} A")


if __name__ == "__main__":
    main()
