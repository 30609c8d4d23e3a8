"""The true continuum of a row, where the grid's files knew it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws
from starnet_hpc.instruments import C_KMS
from starnet_hpc.stores import Store


@dataclass(frozen=True)
class TrueContinua:
    """True continua of all templates of a grid."""

    nodes: NDArray[np.float64]
    """Wavelengths at which they are kept [k], angstrom in air."""
    values: NDArray[np.float32]
    """[templates, k], in the unit of the templates' fluxes; NaN where unknown."""

    def of(self, draws: Draws, row: int, wavelength: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the continuum of a row at wavelengths [pixels, angstrom]; NaN where unknown.

        It is shifted as the row's spectrum is, by its radial velocity; rotation and line spread leave it as it is.
        """
        beta = float(draws.vrad[row - draws.start]) / C_KMS
        at_rest = wavelength * np.sqrt((1.0 - beta) / (1.0 + beta))
        template = int(draws.template[row - draws.start])
        return np.asarray(np.interp(at_rest, self.nodes, self.values[template]), dtype=np.float32)


def true_continua(grid: Store) -> TrueContinua:
    """Return the true continua of a grid's templates; all NaN where its format does not know them."""
    if grid.has("continuum"):
        return TrueContinua(grid.column("continuum_wavelength"), grid.column("continuum"))
    return TrueContinua(grid.wavelength[[0, -1]], np.full((len(grid), 2), np.nan, dtype=np.float32))
