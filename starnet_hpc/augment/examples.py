"""A few test spectra as they are before their continuum is removed, for the report's figure of continua."""

from pathlib import Path

import numpy as np

from starnet_hpc.augment.splits import Split
from starnet_hpc.augment.truth import true_continua
from starnet_hpc.stores import Store, write_arrays

_EXAMPLES = 8


def keep_examples(path: Path, split: Split, grid: Store) -> None:
    """Write `examples.npz`: wavelength, flux, continuum (found and true), labels and S/N of some rows of a split."""
    rows = np.unique(np.linspace(0, split.layout.rows - 1, _EXAMPLES).astype(int))
    templates, draws = grid.mapped_rows(), split.draws
    flux = np.stack([split.spectra.observed(templates, draws, row) for row in rows.tolist()])
    truth = true_continua(grid)
    write_arrays(
        path,
        wavelength=split.wavelength,
        flux=flux,
        continuum=np.stack([split.spectra.continuum(spectrum) for spectrum in flux]),
        true_continuum=np.stack([truth.of(draws, row, split.wavelength) for row in rows.tolist()]),
        labels=split.labels[rows],
        snr=draws.snr[rows],
        row=rows,
    )
