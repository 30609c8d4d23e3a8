"""The pixels that networks are given, all or those of some windows, and which of them are hidden from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import NetworkConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments.instrument import Instrument
from starnet_hpc.instruments.pixels import C_KMS
from starnet_hpc.instruments.windows import Intervals, read_windows

_FEWEST_PIXELS = 32
"""The paper's network makes one number of 18 pixels; less than twice that is no spectrum."""


@dataclass(frozen=True)
class Selection:
    """What `network.only` and `network.ignore` mean for the pixels of an instrument."""

    network: NetworkConfig
    """The section `network`, whose windows stand there themselves, wherever they were read from."""
    given: NDArray[np.int64] | None
    """Numbers of the pixels inside of `only` [n], increasing; None: all are given."""
    ignored: NDArray[np.bool_] | None
    """Which of the given pixels are inside of `ignore` [n]; None: none."""

    @property
    def ignored_windows(self) -> Intervals:
        """The windows of `ignore` that hold pixels, angstrom."""
        return _intervals(self.network.ignore)

    def remark(self, vrad_max: float) -> str | None:
        """Return what to say of velocities up to `vrad_max` [km/s] that move lines across windows; None if nothing."""
        narrow = [
            (low, high)
            for low, high in (*_intervals(self.network.only), *_intervals(self.network.ignore))
            if high - low <= 2.0 * high * vrad_max / C_KMS
        ]
        if not narrow:
            return None
        low, high = narrow[0]
        return (
            f"network.only, network.ignore: lines move by up to {high * vrad_max / C_KMS:.2f} A with augment.vrad_max "
            f"{vrad_max:g} km/s, out of windows like {low:g}-{high:g} A; make these wider, or lower augment.vrad_max"
        )


def select_pixels(network: NetworkConfig, instrument: Instrument) -> Selection:
    """Return the pixels that the networks of an experiment are given.

    Raises:
        ConfigError: a file is no list of windows, windows hold no pixel of the instrument, or too few pixels are left.
    """
    only = _windows("only", network.only, instrument)
    ignore = _windows("ignore", network.ignore, instrument)
    given = np.flatnonzero(instrument.inside(only)) if only else np.arange(instrument.wavelength.size)
    ignored = instrument.inside(ignore)[given]
    if (left := int((~ignored).sum())) < _FEWEST_PIXELS:
        raise ConfigError(
            f"network.only and network.ignore leave {left} pixels of {instrument.name} to a network, which needs "
            f"{_FEWEST_PIXELS}: widen the windows of the one, or remove some of the other"
        )
    return Selection(
        network.model_copy(update={"only": only, "ignore": ignore}),
        given if only else None,
        ignored if ignored.any() else None,
    )


def _windows(key: str, choice: Path | Intervals, instrument: Instrument) -> Intervals:
    """Return the windows of a key that hold pixels, in order; a list may have others, for other instruments."""
    windows = read_windows(choice) if isinstance(choice, Path) else tuple(sorted(choice))
    holding = tuple(window for window in windows if instrument.inside((window,)).any())
    if holding == windows or (holding and isinstance(choice, Path)):
        return holding
    low, high = next(window for window in windows if window not in holding)
    empty = f"no window in {choice} holds a pixel" if isinstance(choice, Path) else f"{low:g}-{high:g} A holds no pixel"
    raise ConfigError(
        f"network.{key}: {empty} of {instrument.name}; give windows inside its range, "
        f"{instrument.wavelength[0]:.2f} to {instrument.wavelength[-1]:.2f} A in air"
    )


def _intervals(choice: Path | Intervals) -> Intervals:
    return () if isinstance(choice, Path) else choice
