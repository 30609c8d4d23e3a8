"""Tables in plain text: numbers in columns, perhaps one line of headings, remarks behind `#`."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError

_LARGEST = 200_000_000
"""Bytes; a larger file is no list of wavelengths, and reading it would only take long."""


@dataclass(frozen=True)
class ListFile:
    """The leading columns of numbers in a text file."""

    path: Path
    headings: tuple[str, ...]
    """Names of the columns; empty if the file has none."""
    values: NDArray[np.float64]
    """[rows, columns]."""
    lines: tuple[int, ...]
    """Number of each row's line in the file, from 1."""


def read_list(path: Path, columns: int | None = None) -> ListFile:
    """Return the numbers of a text file whose columns are separated by blanks or commas.

    Args:
        path: of the file.
        columns: how many leading columns must be numbers; words may follow. By default all columns.

    Raises:
        ConfigError: the file cannot be read, or a line is not what it should be; with file, line and remedy.
    """
    headings: tuple[str, ...] = ()
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = re.split(r"\s*,\s*|\s+", line.partition("#")[0].strip())
        if words == [""]:
            continue
        wanted = words if columns is None else words[:columns]
        try:
            row = [float(word) for word in wanted]
        except ValueError:
            if not rows and not headings:
                headings = tuple(words)
                continue
            raise ConfigError(
                f"{path}, line {number}: {line.strip()[:60]!r} is not a row of numbers; put # before remarks"
            ) from None
        if rows and len(row) != len(rows[0]):
            raise ConfigError(f"{path}, line {number}: {len(row)} columns, where the lines before have {len(rows[0])}")
        if columns is not None and len(row) < columns:
            raise ConfigError(f"{path}, line {number}: expected {columns} numbers, got {line.strip()[:60]!r}")
        if not all(map(math.isfinite, row)):
            raise ConfigError(f"{path}, line {number}: {line.strip()[:60]!r} holds something that is no finite number")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise ConfigError(f"{path}: holds no row of numbers")
    return ListFile(path, headings, np.array(rows, dtype=np.float64), tuple(lines))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are too much for a list of wavelengths")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file; binary files end in .npy, .fits or .fits.gz") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
