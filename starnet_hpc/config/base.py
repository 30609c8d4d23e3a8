"""What all sections of the configuration share."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """One section of the YAML: unknown keys are refused, values cannot be changed after the check."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def _increasing(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if not low < high:
        raise ValueError(f"a range is [low, high] with low < high, got [{low:g}, {high:g}]: exchange the two values")
    return interval


Interval = Annotated[tuple[float, float], AfterValidator(_increasing)]
"""[low, high], both finite, low < high."""


def _expanded(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    text = os.path.expandvars(Path(value).expanduser())
    if "$" in text:
        raise ValueError(f"{text!r} names an environment variable that is not set")
    return text


UserPath = Annotated[Path, BeforeValidator(_expanded)]
"""A path in the user's words: `~` and `$SCRATCH` are expanded; a relative one starts where the command was run."""
