"""Text files of numbers: their lines, and their columns, with every fault named by its line."""

import gzip
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.grids.fitsfile import first_bytes

_GZIP = b"\x1f\x8b"
_SHOWN = 60


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, which may be compressed by gzip.

    Raises:
        ObservationFormatError: the file cannot be read, is empty, or is no text.
        MissingInputError: there is no such file.
    """
    raw = unpacked(first_bytes(path, -1, ObservationFormatError), path)
    if b"\0" in raw:
        raise ObservationFormatError(f"{path}: is not a text file (it holds zero bytes); copy or download it again")
    return raw.decode("utf-8-sig", errors="replace").splitlines()


def unpacked(raw: bytes, path: Path) -> bytes:
    """Return what a gzip file holds, and other bytes as they are."""
    if not raw.startswith(_GZIP):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        raise ObservationFormatError(f"{path}: cannot be uncompressed ({problem}); copy or download it again") from None


def number_columns(lines: list[str], first: int, delimiter: str | None, path: Path) -> NDArray[np.float64]:
    """Return the numbers of a text file [rows, columns]; empty lines and what follows a `#` are left out.

    Args:
        lines: of the file.
        first: where the numbers begin.
        delimiter: between the columns; None is any white space.
        path: of the file, for messages.
    """
    part = lines[first:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of no data, which is told below
            values: NDArray[np.float64] = np.loadtxt(part, delimiter=delimiter, comments="#", ndmin=2)
    except ValueError as problem:
        raise ObservationFormatError(f"{path}: {_fault(part, first, delimiter) or problem}") from None
    if values.size == 0:
        raise ObservationFormatError(f"{path}: holds no numbers; is it another file?")
    return values


def _fault(lines: list[str], first: int, delimiter: str | None) -> str:
    """Return what is wrong with the first line that is not like the first one with numbers, "" if none is found."""
    columns = 0
    for number, line in enumerate(lines, first + 1):
        cells = line.partition("#")[0].strip()
        if not cells:
            continue
        words = cells.split(delimiter)
        columns = columns or len(words)
        if len(words) != columns:
            return (
                f"line {number} has {len(words)} columns, those before it {columns}: {_shown(line)}; "
                f"if it is the last one, the file is cut off: copy it again"
            )
        for word in words:
            if not is_number(word):
                return f"line {number}: {word.strip()[:_SHOWN]!r} is not a number; correct or remove the line"
    return ""


def is_number(word: str) -> bool:
    """Whether a word can be read as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word  # which only Python allows


def _shown(line: str) -> str:
    return repr(line.strip()[:_SHOWN])
