"""A spectrograph as the numerics see it: pixel edges, resolution, windows to leave alone."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import InstrumentConfig, WavelengthArm, check, read_yaml
from starnet_hpc.errors import ConfigError

C_KMS = 299_792.458
"""Speed of light [km/s]."""

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_SHIPPED = Path(__file__).parent / "data"
_EDGE_SIGMAS = 6.0
"""The margin around the instrument's range holds the line spread function out to this many sigmas."""


@dataclass(frozen=True)
class Instrument:
    """Pixels, resolution and windows of a spectrograph."""

    config: InstrumentConfig
    wavelength: NDArray[np.float64]
    """Pixel centres [pixels], angstrom in air, increasing."""
    lower: NDArray[np.float64]
    """Lower edge of each pixel [pixels], angstrom."""
    upper: NDArray[np.float64]
    """Upper edge of each pixel [pixels], angstrom; equals the next lower edge except at a gap between arms."""

    @property
    def name(self) -> str:
        """Name of the instrument."""
        return self.config.name

    @property
    def sigma_kms(self) -> float:
        """Standard deviation of the Gaussian line spread function [km/s]."""
        return float(C_KMS / self.config.resolution / _FWHM_PER_SIGMA)

    def inside(self, windows: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
        """Return which pixels have their centre inside one of the windows (angstrom) [pixels]."""
        hit = np.zeros(self.wavelength.size, dtype=bool)
        for low, high in windows:
            hit |= (self.wavelength > low) & (self.wavelength < high)
        return hit

    def strong_lines(self) -> NDArray[np.bool_]:
        """Return which pixels the continuum must not use [pixels]."""
        return self.inside(self.config.strong_lines)

    def tellurics(self) -> NDArray[np.bool_]:
        """Return which pixels are set to zero for the network [pixels]."""
        return self.inside(self.config.tellurics)

    def template_range(self, *, vrad_max: float, vsini_max: float) -> tuple[float, float]:
        """Return the wavelengths [angstrom] that a template must cover to be shifted and broadened (both in km/s)."""
        reach = (vrad_max + vsini_max + _EDGE_SIGMAS * self.sigma_kms) / C_KMS
        return float(self.lower[0] * (1.0 - reach)), float(self.upper[-1] * (1.0 + reach))


def load_instrument(choice: str | InstrumentConfig) -> Instrument:
    """Return the instrument that a configuration names, points at (a YAML file), or spells out.

    Raises:
        ConfigError: no such name or file, or a description that makes no sense; the message lists the names there are.
    """
    return build_instrument(choice if isinstance(choice, InstrumentConfig) else _find(choice))


def build_instrument(config: InstrumentConfig) -> Instrument:
    """Return the pixels of a described instrument.

    Raises:
        ConfigError: arms overlap or are out of order.
    """
    arms = [_edges(arm) for arm in config.arms]
    for (_, _, upper), (_, lower, _) in pairwise(arms):
        # Half a pixel of rounding is no overlap.
        if lower[0] < upper[-1] - 0.5 * (upper[-1] - upper[-2]):
            raise ConfigError(
                f"instrument {config.name}: an arm begins at {lower[0]:.3f} A before the one ahead of it "
                f"ends at {upper[-1]:.3f} A; list arms in order, without overlap"
            )
    centre, lower, upper = (np.concatenate(parts) for parts in zip(*arms, strict=True))
    return Instrument(config, centre, lower, upper)


def shipped_instruments() -> list[str]:
    """Return the names of the instruments that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def _find(choice: str) -> InstrumentConfig:
    path = Path(choice) if choice.endswith((".yaml", ".yml")) else _SHIPPED / f"{choice}.yaml"
    if not path.exists():
        raise ConfigError(
            f"instrument: there is no {choice!r}; give one of {', '.join(shipped_instruments())}, "
            f"the path of a YAML file, or a mapping"
        )
    return check(InstrumentConfig, read_yaml(path), source=str(path))


def _edges(arm: WavelengthArm) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centre, lower and upper edge of an arm's pixels."""
    pixel = np.arange(arm.count, dtype=np.float64)
    edge = np.arange(arm.count + 1, dtype=np.float64) - 0.5
    if arm.spacing == "linear":
        edges = arm.start + arm.step * edge
        return arm.start + arm.step * pixel, edges[:-1], edges[1:]
    step = arm.step / C_KMS
    edges = arm.start * np.exp(step * edge)
    return arm.start * np.exp(step * pixel), edges[:-1], edges[1:]
