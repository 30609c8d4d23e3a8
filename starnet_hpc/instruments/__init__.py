"""Spectrographs: described in YAML, turned into pixel edges."""

from starnet_hpc.instruments.instrument import C_KMS, Instrument, build_instrument, load_instrument, shipped_instruments

__all__ = ["C_KMS", "Instrument", "build_instrument", "load_instrument", "shipped_instruments"]
