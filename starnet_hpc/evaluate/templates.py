"""A grid's templates as networks would see them: at rest, not rotating, without noise."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import CoverageError
from starnet_hpc.instruments import Instrument, check_native, continuum_for
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.linespread import sigma_kms
from starnet_hpc.statistics import Floats
from starnet_hpc.stores import Store

_I8 = NDArray[np.int64]


class TemplateView:
    """Templates at an instrument's resolution, on some of its pixels, divided by the continuum that step vi finds.

    Args:
        store: the grid's.
        instrument: which one.
        augment: says how the continuum is found.
        pixels: of the instrument [n].

    Raises:
        CoverageError: the grid does not cover the instrument's range.
        GridFormatError: its spectra are smoother than the instrument's.
    """

    def __init__(self, store: Store, instrument: Instrument, augment: AugmentConfig, pixels: _I8) -> None:
        grid = store.wavelength
        low, high = instrument.template_range(vrad_max=0.0, vsini_max=0.0)
        if grid[0] > low or grid[-1] < high:
            raise CoverageError(
                f"{store.path}: templates cover {grid[0]:.2f}-{grid[-1]:.2f} A, but {instrument.name} needs "
                f"{low:.2f}-{high:.2f} A; ingest that grid with this run's instrument"
            )
        self._templates = store.mapped_rows()
        native = store.attributes.get("native_resolution")
        check_native(native, instrument.sharpest, str(store.path))
        sigma = sigma_kms(native) if native else 0.0
        self._forward = ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms, sigma)
        self._pixels = pixels
        self._continuum = continuum_for(instrument, augment)

    def normalised(self, row: int) -> Floats:
        """Return a template's flux over its continuum [n]."""
        flux = self._forward.observe(self._templates[row], vsini=0.0, epsilon=0.0, vrad=0.0)
        return np.asarray((flux / self._continuum.fit(flux))[self._pixels], dtype=np.float64)

    def many(self, rows: _I8) -> Floats:
        """Return several templates [rows, n]."""
        return np.stack([self.normalised(row) for row in rows.tolist()])
