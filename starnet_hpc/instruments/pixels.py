"""From the description of an arm to its pixels: centres and edges in angstrom, in air."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import WavelengthArm
from starnet_hpc.config.spectra import FEWEST_PIXELS
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments.pixelfile import PixelFile, Rule, read_pixels, rule_behind
from starnet_hpc.kernels.refraction import vacuum_to_air

C_KMS = 299_792.458
"""Speed of light [km/s]."""

_ANGSTROM = {"angstrom": 1.0, "nm": 10.0, "um": 1e4}
_MOST_PIXELS = 5_000_000
_SHORTEST = 3000.0
"""The atmosphere is opaque below [angstrom]; a range that ends before it is in another unit, or from space."""
_JUMP = 3.0
"""Centres further apart than this many steps on both sides have a gap between them."""


@dataclass(frozen=True)
class ArmPixels:
    """The pixels of an arm [pixels], angstrom in air."""

    centre: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    recipe: dict[str, Any]
    """What they are a function of, as plain values: a file counts by its numbers, not by its place."""
    remark: str = ""
    """What people should know about how a file was read."""


def arm_pixels(arm: WavelengthArm) -> ArmPixels:
    """Return the pixels of an arm.

    Raises:
        ConfigError: its file cannot be read, or its numbers cannot be wavelengths in the unit that is said.
    """
    return _by_file(arm) if arm.file is not None else _by_rule(arm)


def _by_rule(arm: WavelengthArm) -> ArmPixels:
    if arm.start is None or arm.step is None:
        raise ConfigError("an arm without start and step")  # the configuration has checked it
    scale = _ANGSTROM[arm.unit or "angstrom"]
    logarithmic = arm.spacing == "logarithmic"
    step = arm.step if logarithmic else arm.step * scale
    rule = Rule(arm.start * scale, step / C_KMS if logarithmic else step, logarithmic)
    count = arm.count if arm.count is not None else _count(rule, (arm.stop or 0.0) * scale)
    if not FEWEST_PIXELS <= count <= _MOST_PIXELS:
        raise ConfigError(
            f"the arm at {arm.start:g} has {count} pixels; {FEWEST_PIXELS} to {_MOST_PIXELS} can be used: "
            f"check start, stop, step and their unit"
        )
    centre, lower, upper = _pixels_of(rule, count)
    _check_unit(arm.unit, centre[-1], f"the arm at {arm.start:g}")
    recipe = {"start": rule.start, "step": step, "count": count, "spacing": arm.spacing}
    return _in_air(arm, ArmPixels(centre, lower, upper, recipe))


def _by_file(arm: WavelengthArm) -> ArmPixels:
    if arm.file is None:
        raise ConfigError("an arm without a file")
    found = read_pixels(arm.file, arm.column)
    if arm.unit and found.unit and arm.unit != found.unit:
        raise ConfigError(f"{arm.file}: says that its unit is {found.unit}, the instrument says {arm.unit}")
    unit = arm.unit or found.unit
    _check_unit(unit, found.centre[-1], str(arm.file))
    scale = _ANGSTROM[unit or "angstrom"]
    rule = rule_behind(found)
    centre, lower, upper = _pixels_of(rule, found.centre.size) if rule else _between(found.centre)
    recipe = {"pixels": found.centre.size, "digest": provenance.digest_array(found.centre), "unit": unit or "angstrom"}
    remark = f"{arm.file}: {_remark(found, rule, lower, upper)}"
    return _in_air(arm, ArmPixels(centre * scale, lower * scale, upper * scale, recipe, remark))


def _in_air(arm: WavelengthArm, pixels: ArmPixels) -> ArmPixels:
    if arm.medium == "air":
        return pixels
    centre, lower, upper = (vacuum_to_air(values) for values in (pixels.centre, pixels.lower, pixels.upper))
    return ArmPixels(centre, lower, upper, {**pixels.recipe, "medium": "vacuum"}, pixels.remark)


def _pixels_of(rule: Rule, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    edges = rule.centre(np.arange(count + 1, dtype=np.float64) - 0.5)
    return rule.centre(np.arange(count, dtype=np.float64)), edges[:-1], edges[1:]


def _between(
    centre: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centres, and edges halfway between them; the pixels on both sides of a gap are symmetric."""
    halfway = 0.5 * (centre[1:] + centre[:-1])
    lower = np.append(2.0 * centre[0] - halfway[0], halfway)
    upper = np.append(halfway, 2.0 * centre[-1] - halfway[-1])
    for gap in _gaps(centre):
        upper[gap] = 2.0 * centre[gap] - lower[gap]
        lower[gap + 1] = 2.0 * centre[gap + 1] - upper[gap + 1]
    return centre, lower, upper


def _gaps(centre: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pixels behind which there is a gap."""
    step = np.diff(centre)
    before, after = np.append(step[0], step[:-1]), np.append(step[1:], step[-1])
    inner = (step > _JUMP * before) & (step > _JUMP * after)
    return np.flatnonzero(inner)


def _count(rule: Rule, stop: float) -> int:
    """Return how many pixel centres are not beyond `stop`; a thousandth of a step is rounding."""
    steps = np.log(stop / rule.start) / rule.step if rule.logarithmic else (stop - rule.start) / rule.step
    return int(np.floor(steps + 1e-3)) + 1


def _check_unit(unit: str | None, last: float, what: str) -> None:
    if unit is None and last < _SHORTEST:
        likely = "nm" if last > 100.0 else "um"
        raise ConfigError(
            f"{what}: ends at {last:g} A, if that is angstrom, where the atmosphere lets nothing through; "
            f"write `unit: {likely}` into the arm (or `unit: angstrom` for a spectrograph in space)"
        )


def _remark(found: PixelFile, rule: Rule | None, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> str:
    count = found.centre.size
    rounded = f"rounded to {found.rounding:.2g}" + (" (single precision)" if found.single else "")
    if rule:
        law = "exp({:.10g} i)" if rule.logarithmic else "+ {:.10g} i"
        return f"{count} pixel centres, {rounded}, are read as {rule.start:.10g} {law.format(rule.step)}"
    text = f"{count} pixel centres"
    if found.rounding > 1e-2 * (upper - lower).min():
        text += (
            f", {rounded}: pixel widths are uncertain by up to {100 * found.rounding / (upper - lower).min():.0f} %; "
            f"better give float64"
        )
    gaps = _gaps(found.centre)
    if gaps.size:
        named = ", ".join(f"{found.centre[gap]:.6g}-{found.centre[gap + 1]:.6g}" for gap in gaps[:3])
        text += f", with {'a gap' if gaps.size == 1 else f'{gaps.size} gaps'} ({named})"
    return text
