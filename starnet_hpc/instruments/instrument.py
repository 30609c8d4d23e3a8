"""A spectrograph as the numerics see it: pixel edges, resolution, windows to leave alone."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import InstrumentConfig, check, read_yaml
from starnet_hpc.config.spectra import is_list_name
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments.pixels import C_KMS, arm_pixels
from starnet_hpc.instruments.resolving import check_table, line_spread
from starnet_hpc.instruments.windows import Intervals, windows_in_range
from starnet_hpc.kernels.continuum import LEAST_PIXELS
from starnet_hpc.kernels.linespread import LineSpread, sigma_kms

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
    strong_windows: Intervals
    """Windows [angstrom, air] that the continuum must not use."""
    telluric_windows: Intervals
    """Windows [angstrom, air] set to zero for the network."""
    arm_recipes: tuple[dict[str, Any], ...]
    """What the pixels of each arm are a function of, as plain values."""
    arms: tuple[tuple[slice, LineSpread], ...]
    """The pixels of each arm, and its line spread function, constant beyond the centres of its outer pixels."""
    remarks: tuple[str, ...] = ()
    """How files of pixel centres were read."""

    @property
    def name(self) -> str:
        """Name of the instrument."""
        return self.config.name

    @cached_property
    def resolution(self) -> NDArray[np.float64]:
        """Resolving power lambda / FWHM of each pixel [pixels]."""
        return np.concatenate([spread.resolution(self.wavelength[part]) for part, spread in self.arms])

    @property
    def resolution_range(self) -> tuple[float, float]:
        """Lowest and highest lambda / FWHM of its pixels."""
        spreads = [spread for _, spread in self.arms]
        return min(spread.lowest for spread in spreads), max(spread.highest for spread in spreads)

    @property
    def narrowest_sigma_kms(self) -> float:
        """Smallest standard deviation of the Gaussian line spread function [km/s]."""
        return sigma_kms(self.resolution_range[1])

    @property
    def widest_sigma_kms(self) -> float:
        """Largest standard deviation of the Gaussian line spread function [km/s]."""
        return sigma_kms(self.resolution_range[0])

    @property
    def sharpest(self) -> tuple[float, float]:
        """Wavelength [angstrom] of its highest lambda / FWHM, and that."""
        points = [point for _, spread in self.arms for point in spread.points]
        return max(points, key=lambda point: point[1])

    def inside(self, windows: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
        """Return which pixels have their centre inside one of the windows (angstrom) [pixels]."""
        hit = np.zeros(self.wavelength.size, dtype=bool)
        for low, high in windows:
            hit |= (self.wavelength > low) & (self.wavelength < high)
        return hit

    def strong_lines(self) -> NDArray[np.bool_]:
        """Return which pixels the continuum must not use [pixels]."""
        return self.inside(self.strong_windows)

    def tellurics(self) -> NDArray[np.bool_]:
        """Return which pixels are set to zero for the network [pixels]."""
        return self.inside(self.telluric_windows)

    def template_range(self, *, vrad_max: float, vsini_max: float) -> tuple[float, float]:
        """Return the wavelengths [angstrom] that a template must cover to be shifted and broadened (both in km/s)."""
        reach = (vrad_max + vsini_max + self.config.margin_kms + _EDGE_SIGMAS * self.widest_sigma_kms) / C_KMS
        return float(self.lower[0] * (1.0 - reach)), float(self.upper[-1] * (1.0 + reach))

    def check_segments(self, width: float) -> None:
        """Check that segments of the continuum [angstrom] hold enough pixels everywhere.

        Raises:
            ConfigError: some do not, so that there would be no continuum where pixels are widest.
        """
        widest = int(np.argmax(self.upper - self.lower))
        pixel = float(self.upper[widest] - self.lower[widest])
        if width < LEAST_PIXELS * pixel:
            advised = 10.0 * np.ceil(2.0 * LEAST_PIXELS * pixel / 10.0)
            raise ConfigError(
                f"augment.continuum_segment: {width:g} A hold {width / pixel:.1f} pixels of {self.name} near "
                f"{self.wavelength[widest]:.0f} A, where a level needs {LEAST_PIXELS}: set it to {advised:.0f} or "
                f"more, and augment.continuum_knot_spacing to three times that"
            )

    def recipe(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return what spectra of the instrument are a function of, as plain values, without some of the keys.

        Files and lists count by what they say, and only as far as it concerns this instrument; not by their place.
        """
        whole: dict[str, Any] = {
            **self.config.model_dump(mode="json", include={"name", "resolution"}),
            "arms": list(self.arm_recipes),
            "strong_lines": [list(window) for window in self.strong_windows],
            "tellurics": [list(window) for window in self.telluric_windows],
        }
        return {key: value for key, value in whole.items() if key not in without}


def load_instrument(choice: str | InstrumentConfig) -> Instrument:
    """Return the instrument that a configuration names, points at (a YAML file), or spells out.

    Raises:
        ConfigError: no such name or file, or a description that makes no sense; the message lists the names there are.
    """
    return build_instrument(choice if isinstance(choice, InstrumentConfig) else _find(choice))


def build_instrument(config: InstrumentConfig) -> Instrument:
    """Return the pixels and windows of a described instrument.

    Raises:
        ConfigError: arms overlap or are out of order; the table of resolutions belongs to other wavelengths or is too
            steep; or a file that the description names is not what it should be.
    """
    try:
        arms = [arm_pixels(arm) for arm in config.arms]
        for one, other in pairwise(arms):
            # Half a pixel of rounding is no overlap.
            if other.lower[0] < one.upper[-1] - 0.5 * (one.upper[-1] - one.upper[-2]):
                raise ConfigError(
                    f"an arm begins at {other.lower[0]:.3f} A before the one ahead of it "
                    f"ends at {one.upper[-1]:.3f} A; list arms in order, without overlap"
                )
        low, high = float(arms[0].lower[0]), float(arms[-1].upper[-1])
        strong = windows_in_range("strong_lines", config.strong_lines, low, high)
        telluric = windows_in_range("tellurics", config.tellurics, low, high)
        spreads = [line_spread(config.resolution, arm.centre) for arm in arms]
        check_table(config.resolution, float(arms[0].centre[0]), float(arms[-1].centre[-1]), spreads)
    except ConfigError as error:
        raise ConfigError(f"instrument {config.name}: {error}") from None
    ends = np.cumsum([0, *(arm.centre.size for arm in arms)]).tolist()
    return Instrument(
        config,
        np.concatenate([arm.centre for arm in arms]),
        np.concatenate([arm.lower for arm in arms]),
        np.concatenate([arm.upper for arm in arms]),
        strong,
        telluric,
        tuple(arm.recipe for arm in arms),
        tuple((slice(*part), spread) for part, spread in zip(pairwise(ends), spreads, strict=True)),
        tuple(arm.remark for arm in arms if arm.remark),
    )


def shipped_instruments() -> list[str]:
    """Return the names of the instruments that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def shipped_yaml(name: str) -> Path:
    """Return the YAML file of an instrument that comes with the package.

    Raises:
        ConfigError: there is none of this name; the message lists those that there are.
    """
    path = _SHIPPED / f"{name}.yaml"
    if name not in shipped_instruments():
        raise ConfigError(
            f"instrument: there is no {name!r}; give one of {', '.join(shipped_instruments())}, "
            f"the path of a YAML file, or a mapping"
        )
    return path


def read_description(path: Path) -> InstrumentConfig:
    """Return the description in a YAML file; paths in it start at the file's own folder.

    Raises:
        ConfigError: the file cannot be read, or says something that makes no sense.
    """
    data = read_yaml(path)
    arms = data.get("arms")
    for arm in arms if isinstance(arms, list) else []:
        if isinstance(arm, dict) and "file" in arm:
            arm["file"] = _beside(path, arm["file"])
    for key in ("strong_lines", "tellurics"):
        if isinstance(data.get(key), str) and not is_list_name(data[key]):
            data[key] = _beside(path, data[key])
    return check(InstrumentConfig, data, source=str(path))


def _find(choice: str) -> InstrumentConfig:
    if choice.endswith((".yaml", ".yml")) and Path(choice).exists():
        return read_description(Path(choice))
    return read_description(shipped_yaml(choice))


def _beside(yaml: Path, given: object) -> object:
    """Return a relative path in a YAML file as seen from the file's folder; anything else as it is."""
    if not isinstance(given, str) or not given.strip() or given.startswith(("~", "$")):
        return given
    return str(yaml.absolute().parent / given)
