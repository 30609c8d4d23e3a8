"""Configurations as users write them."""

from pathlib import Path
from typing import Any

import yaml

SMALLEST: dict[str, Any] = {"name": "small", "run_dir": "run", "grid": {"format": "intrigoss", "path": "grid"}}
ARM: dict[str, Any] = {"start": 5150.0, "step": 0.05, "count": 800}
INSTRUMENT: dict[str, Any] = {"name": "small", "arms": [ARM], "resolution": 20_000}


def write(folder: Path, changes: dict[str, Any]) -> Path:
    """Write the smallest configuration with some keys changed."""
    return write_text(folder, yaml.safe_dump({**SMALLEST, **changes}))


def write_text(folder: Path, text: str) -> Path:
    """Write a configuration word for word."""
    path = folder / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return path
