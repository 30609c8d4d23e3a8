"""From a template to a spectrum as the instrument would deliver it, normalised: steps i to vi for one row."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws
from starnet_hpc.config import AugmentConfig, InstrumentConfig
from starnet_hpc.instruments import Continuum, build_instrument, continuum_for
from starnet_hpc.kernels.blend import blend
from starnet_hpc.kernels.forward import ForwardModel, add_noise
from starnet_hpc.kernels.linespread import sigma_kms
from starnet_hpc.kernels.random import Key, stream
from starnet_hpc.stores import MappedRows


@dataclass(frozen=True)
class SpectrumRecipe:
    """All that the spectra of one store have in common."""

    seed: int
    split: str
    instrument: InstrumentConfig
    augment: AugmentConfig
    grid_wavelength: tuple[float, float, int]
    """First and last wavelength [angstrom] and number of points of the templates' ln(wavelength) grid."""
    native_resolution: float | None = None
    """lambda / FWHM that the templates have been smoothed to before; None: as sharp as can be."""

    def observed(self, templates: MappedRows, draws: Draws, row: int) -> NDArray[np.float32]:
        """Return the noisy flux [pixels] of a row of the store before its continuum is removed (steps i to v)."""
        drawn = draws.of(row)
        noise = drawn.pop("noise")
        mixed, weights = zip(*draws.mixture(row), strict=True)
        template = blend([templates[one] for one in mixed], weights)
        return add_noise(self._forward.observe(template, **drawn), noise, self._noise_key, row)

    def continuum(self, flux: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the continuum [pixels] that step vi divides by."""
        return self._continuum.fit(flux)

    @cached_property
    def _noise_key(self) -> Key:
        return stream(self.seed, "augment", self.split, "pixels")

    @cached_property
    def _forward(self) -> ForwardModel:
        first, last, count = self.grid_wavelength
        grid = np.exp(np.linspace(np.log(first), np.log(last), count))
        instrument = build_instrument(self.instrument)
        native = sigma_kms(self.native_resolution) if self.native_resolution else 0.0
        return ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms, native)

    @cached_property
    def _continuum(self) -> Continuum:
        return continuum_for(build_instrument(self.instrument), self.augment)
