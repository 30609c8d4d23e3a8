"""The resolution of an instrument as users write it: a number, or a table."""

import math
from itertools import pairwise
from typing import Annotated

from pydantic import BeforeValidator

_RESOLUTIONS = (100.0, 500_000.0)
"""Lowest and highest lambda / FWHM of an instrument."""


def _resolution(value: object) -> object:
    """Return a number, or points of wavelength and resolution, checked; pydantic would complain of both at once."""
    if isinstance(value, list | tuple):
        return _resolution_points(value)
    number = _number(value)
    if number is None or not _RESOLUTIONS[0] < number <= _RESOLUTIONS[1]:
        raise ValueError(
            f"is lambda / FWHM, more than {_RESOLUTIONS[0]:.0f} and at most {_RESOLUTIONS[1]:.0f}, "
            f"or points [[wavelength, lambda / FWHM], ...], got {value!r}"
        )
    return number


def _resolution_points(value: list[object] | tuple[object, ...]) -> tuple[tuple[float, float], ...]:
    points = []
    for k, point in enumerate(value):
        pair = [_number(number) for number in point] if isinstance(point, list | tuple) else []
        if len(pair) != 2 or None in pair:
            raise ValueError(f"point {k} is a pair [wavelength in angstrom, lambda / FWHM], got {point!r}")
        wavelength, resolution = (number for number in pair if number is not None)
        if not wavelength > 0 or not _RESOLUTIONS[0] < resolution <= _RESOLUTIONS[1]:
            raise ValueError(
                f"point {k} is [wavelength in angstrom, lambda / FWHM of more than {_RESOLUTIONS[0]:.0f} and at most "
                f"{_RESOLUTIONS[1]:.0f}], got {point!r}"
            )
        points.append((wavelength, resolution))
    if not points:
        raise ValueError("has no points; give a number, or points [[wavelength, lambda / FWHM], ...]")
    for k, ((before, _), (after, _)) in enumerate(pairwise(points), start=1):
        if not before < after:
            raise ValueError(
                f"wavelengths increase from point to point, but {after:g} A of point {k} follows {before:g} A"
            )
    return tuple(points)


def _number(value: object) -> float | None:
    """Return a finite number, or None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


Resolution = Annotated[float | tuple[tuple[float, float], ...], BeforeValidator(_resolution)]
"""lambda / FWHM: one number, or points of wavelength [angstrom, air] and number."""
