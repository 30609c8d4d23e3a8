"""What all sections of the configuration share."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """One section of the YAML: unknown keys are refused, values cannot be changed after the check."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # YAML reads `yes` and `on` as true, and pydantic reads true as 1.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"is no switch, and cannot be {str(value).lower()}")
        return value


def _increasing(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if not low < high:
        remedy = "exchange the two values" if low > high else "they are equal"
        raise ValueError(f"a range is [low, high] with low < high, got [{low!r}, {high!r}]: {remedy}")
    return interval


Interval = Annotated[tuple[float, float], AfterValidator(_increasing)]
"""[low, high], both finite, low < high."""


def expanded(value: object) -> object:
    """Return a path in the user's words as an absolute path; what is no text is left to pydantic."""
    if not isinstance(value, str | Path):
        return value
    text = os.path.expandvars(Path(value).expanduser()) if str(value).strip() else ""
    if not text:
        raise ValueError("is empty; give a path")
    if "$" in text:
        raise ValueError(f"{text!r} names an environment variable that is not set")
    # Absolute, so that the configuration means the same to a job that starts in another folder.
    return str(Path(text).absolute())


UserPath = Annotated[Path, BeforeValidator(expanded)]
"""A path in the user's words: `~` and `$SCRATCH` are expanded; a relative one starts where the command was run."""
