"""How the continuum of an experiment's spectra is found, synthetic and observed ones alike."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig
from starnet_hpc.instruments.instrument import Instrument
from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.smoothing import MedianContinuum, SmoothContinuum

CONTINUUM_SETTINGS = frozenset(
    {"continuum", "continuum_segment", "continuum_clip", "continuum_knot_spacing", "continuum_width"}
)
"""Entries of `AugmentConfig` that a continuum is a function of."""


class Continuum(Protocol):
    """Finds the continuum of spectra on one set of pixels."""

    def fit(self, flux: NDArray[np.float32], usable: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Return the continuum [pixels] of fluxes [pixels]; NaN in an arm where nothing can be told.

        Args:
            flux: in any unit.
            usable: pixels that are neither missing nor masked [pixels]; NaN is never used.
        """


def continuum_for(instrument: Instrument, augment: AugmentConfig) -> Continuum:
    """Return what finds the continuum on an instrument's pixels, as `augment.continuum` says."""
    pixels: dict[str, Any] = {"wavelength": instrument.wavelength, "avoid": instrument.strong_lines()}
    match augment.continuum:
        case "clip":
            return SegmentContinuum(
                **pixels,
                segment=augment.continuum_segment,
                clip=augment.continuum_clip,
                knot_spacing=augment.continuum_knot_spacing,
            )
        case "smooth":
            return SmoothContinuum(**pixels, width=augment.continuum_width)
        case "none":
            return MedianContinuum()
