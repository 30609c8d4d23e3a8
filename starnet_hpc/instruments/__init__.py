"""Spectrographs: described in YAML, turned into pixel edges."""

from starnet_hpc.instruments.instrument import Instrument, build_instrument, load_instrument, shipped_instruments
from starnet_hpc.instruments.listing import details, overview
from starnet_hpc.instruments.pixels import C_KMS

__all__ = [
    "C_KMS",
    "Instrument",
    "build_instrument",
    "details",
    "load_instrument",
    "overview",
    "shipped_instruments",
]
