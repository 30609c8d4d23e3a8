"""Which reader answers to which `grid.format`."""

from starnet_hpc.errors import ConfigError
from starnet_hpc.grids.ambre import Ambre
from starnet_hpc.grids.ferre import Ferre
from starnet_hpc.grids.intrigoss import Intrigoss
from starnet_hpc.grids.mpia import Mpia
from starnet_hpc.grids.phoenix import Phoenix
from starnet_hpc.grids.table import Table
from starnet_hpc.grids.template import GridReader

_ALL: tuple[GridReader, ...] = (
    Intrigoss(),
    Phoenix(),
    Ambre(),
    Ferre(),
    Mpia("mpia_nlte", "_N"),
    Mpia("mpia_lte", "_L"),
    Table(),
)

READERS: dict[str, GridReader] = {reader.format: reader for reader in _ALL}
"""Readers by the name of their format, which is also the value of `grid.format`."""


def reader_for(grid_format: str) -> GridReader:
    """Return the reader of a grid format.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    if grid_format not in READERS:
        raise ConfigError(f"grid.format: there is no {grid_format!r}; give one of {', '.join(sorted(READERS))}")
    return READERS[grid_format]
