"""From the description of an arm to its pixels: centres and edges in angstrom, in air."""

from dataclasses import dataclass, replace
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
_LONGEST = 1e6
_UNCERTAIN = 0.01
"""Rounding by more than this share of a pixel is worth a remark."""
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
    ln_last = np.log(rule.start) + rule.step * count if logarithmic else np.log(rule.start + rule.step * count)
    if ln_last > np.log(_LONGEST):
        raise ConfigError(
            f"the arm at {arm.start:g} reaches beyond {_LONGEST:g} A: check step ({arm.spacing}) and count"
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
    # Stretches between gaps may follow rules where the whole does not.
    stretches = [replace(found, centre=part) for part in np.split(found.centre, _gaps(found.centre) + 1)]
    centre, lower, upper = (np.concatenate(parts) for parts in zip(*map(_pixels_in, stretches), strict=True))
    recipe = {"pixels": found.centre.size, "digest": provenance.digest_array(found.centre), "unit": unit or "angstrom"}
    remark = f"{arm.file}: {'; '.join(map(_remark, stretches))}"
    return _in_air(arm, ArmPixels(centre * scale, lower * scale, upper * scale, recipe, remark))


def _in_air(arm: WavelengthArm, pixels: ArmPixels) -> ArmPixels:
    if arm.medium == "air":
        return pixels
    centre, lower, upper = (vacuum_to_air(values) for values in (pixels.centre, pixels.lower, pixels.upper))
    return ArmPixels(centre, lower, upper, {**pixels.recipe, "medium": "vacuum"}, pixels.remark)


def _pixels_of(rule: Rule, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    edges = rule.centre(np.arange(count + 1, dtype=np.float64) - 0.5)
    return rule.centre(np.arange(count, dtype=np.float64)), edges[:-1], edges[1:]


def _pixels_in(found: PixelFile) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centres and edges of a stretch without gaps: of the rule behind it, else with edges halfway."""
    if rule := rule_behind(found):
        return _pixels_of(rule, found.centre.size)
    centre = found.centre
    halfway = 0.5 * (centre[1:] + centre[:-1])
    first, last = 2.0 * centre[0] - halfway[0], 2.0 * centre[-1] - halfway[-1]
    return centre, np.append(first, halfway), np.append(halfway, last)


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


def _remark(stretch: PixelFile) -> str:
    """Return how a stretch of a file's pixels was read."""
    said = f"{stretch.centre.size} pixels from {stretch.centre[0]:.10g} to {stretch.centre[-1]:.10g}"
    rounded = f"rounded to {stretch.rounding:.2g}" + (" (single precision)" if stretch.single else "")
    if rule := rule_behind(stretch):
        law = "exp({:.10g} i)" if rule.logarithmic else "+ {:.10g} i"
        return f"{said}, {rounded}, are read as {rule.start:.10g} {law.format(rule.step)}"
    share = stretch.rounding / np.diff(stretch.centre).min()
    if share > _UNCERTAIN:
        return f"{said}, {rounded}: their widths are uncertain by {100 * share:.0f} %; better give float64"
    return said
