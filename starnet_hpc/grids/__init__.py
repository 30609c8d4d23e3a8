"""Synthetic grids in the formats that their authors publish them in."""

from starnet_hpc.grids.intrigoss import write_intrigoss
from starnet_hpc.grids.registry import READERS, reader_for
from starnet_hpc.grids.template import GridReader, TemplateSource, TemplateSpectrum, check_template

__all__ = [
    "READERS",
    "GridReader",
    "TemplateSource",
    "TemplateSpectrum",
    "check_template",
    "reader_for",
    "write_intrigoss",
]
