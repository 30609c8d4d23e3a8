"""Numbers as people read them, and as programs do."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

_WIDTH = 110
"""Columns that the tables need; a terminal with fewer wraps their lines."""


def wide_console() -> Console:
    """Return where tables are printed: as wide as the terminal, and wide enough where there is none."""
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)
    return console


def bytes_in_words(count: float) -> str:
    """Return a number of bytes with three digits: 7.11 GB (powers of 1000, as disks are sold and quotas are told)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def time_in_words(seconds: float) -> str:
    """Return a time as 45 s, 12 min, 3 h 20 min or 2 d 5 h."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def left_alone(jobs: Sequence[str]) -> str:
    """Return what becomes of Slurm jobs (`12`, `12_0`) whose command ends before them."""
    arrays = dict.fromkeys(job.partition("_")[0] for job in jobs)
    return (
        f"the Slurm jobs {', '.join(jobs)} go on without this command: run it again to wait for them, or end them with "
        f"`scancel {' '.join(arrays)}`"
    )


def as_json(value: dict[str, Any]) -> str:
    """Return JSON text; its layout is the same for every run."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
