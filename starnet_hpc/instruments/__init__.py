"""Spectrographs: described in YAML, turned into pixel edges; and the continuum of spectra on their pixels."""

from starnet_hpc.instruments.continuum import CONTINUUM_SETTINGS, Continuum, continuum_for
from starnet_hpc.instruments.instrument import Instrument, build_instrument, load_instrument, shipped_instruments
from starnet_hpc.instruments.listing import details, overview
from starnet_hpc.instruments.pixels import C_KMS
from starnet_hpc.instruments.processing import processing
from starnet_hpc.instruments.resolving import check_native
from starnet_hpc.instruments.selection import Selection, select_pixels
from starnet_hpc.instruments.windows import Intervals

__all__ = [
    "CONTINUUM_SETTINGS",
    "C_KMS",
    "Continuum",
    "Instrument",
    "Intervals",
    "Selection",
    "build_instrument",
    "check_native",
    "continuum_for",
    "details",
    "load_instrument",
    "overview",
    "processing",
    "select_pixels",
    "shipped_instruments",
]
