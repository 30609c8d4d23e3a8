"""Spectra in text files of other people: columns of numbers by their lines, and no more lines than are wanted."""

import io
import re
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError
from starnet_hpc.grids.fitsfile import system_errors
from starnet_hpc.grids.template import WINDOW_MARGIN, Window

_AGAIN = "copy or download it again"
_PROBE = 4096
"""Bytes of one look into a long file; several lines of a spectrum."""
_LONGEST_LINE = 1 << 16
"""A line of a header that is longer is none."""
_FORTRAN_EXPONENT = re.compile(rb"(?<=[0-9.])[dD](?=[-+0-9])")


def opened_text(path: Path) -> IO[bytes]:
    """Return a file opened for reading bytes.

    Raises:
        MissingInputError: there is no such file.
        GridFormatError: it is empty, or may not be read.
    """
    with system_errors(path, GridFormatError, "a text file"):
        file = path.open("rb")
    if not file.read(1):
        file.close()
        raise GridFormatError(f"{path}: is empty (0 bytes); {_AGAIN}")
    file.seek(0)
    return file


def comment_lines(path: Path) -> tuple[list[str], int]:
    """Return the `#` lines that a file begins with, without their marks, and the offset behind them [bytes]."""
    lines: list[str] = []
    end = 0
    with opened_text(path) as file:
        while (line := file.readline(_LONGEST_LINE)).lstrip().startswith(b"#"):
            lines.append(line.decode("latin1").strip().removeprefix("#").strip())
            end += len(line)
    return lines, end


def read_columns(
    path: Path, counts: tuple[int, ...], window: Window | None = None, start: int = 0
) -> NDArray[np.float64]:
    """Return the numbers [rows, columns] of a text file whose first column, the wavelength, increases.

    Args:
        path: of the file; blanks part the numbers, and empty lines are skipped.
        counts: numbers of columns that a file of the format may have.
        window: lines well outside are not read, save the last one; None reads all.
        start: offset of the first line of numbers [bytes].

    Raises:
        MissingInputError: there is no such file.
        GridFormatError: a line holds something else than so many numbers; names the line.
    """
    with opened_text(path) as file:
        size = file.seek(0, io.SEEK_END)
        low, high = (start, size) if window is None else _lines_inside(file, window, start, size)
        file.seek(low)
        text = file.read(high - low)
        # A file that ends in the middle of a line has lost its end, wherever that lies.
        last = b"" if high == size else _last_line(file, size)
    values = parse_numbers(text)
    if values is None or values.size == 0 or values.shape[1] not in counts:
        raise _explained(path, text, counts, low)
    if last and len(last.split()) != values.shape[1]:
        raise GridFormatError(f"{path}: ends in the middle of a line ({_shown(last)}); it is truncated: {_AGAIN}")
    return values


def parse_numbers(text: bytes) -> NDArray[np.float64] | None:
    """Return the numbers of a text [lines, columns]; None if it holds anything else, or lines of different lengths.

    `numpy.loadtxt` reads 200 to 300 MB/s here; `numpy.fromstring` and a parser in Numba were no faster.
    """
    if b"D" in text or b"d" in text:
        text = _FORTRAN_EXPONENT.sub(b"E", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a text without numbers
            return np.loadtxt(io.BytesIO(text), comments=None, ndmin=2, encoding="latin1")
    except ValueError:
        return None


def _lines_inside(file: IO[bytes], window: Window, start: int, size: int) -> tuple[int, int]:
    """Return offsets [bytes] between which the lines of a window lie, with the margin around it, by bisection."""
    first = _line_from(file, start, size)
    if first is None:
        return start, size
    margin = 2 * WINDOW_MARGIN * (first[1] - start)  # twice, since lines may differ in length
    ends = []
    for wanted in window:
        low, high = start, size
        while high - low > _PROBE:
            middle = (low + high) // 2
            found = _line_from(file, middle, size)
            if found is None:  # not a line of numbers: whoever reads everything will find out
                return start, size
            low, high = (middle, high) if found[0] < wanted else (low, middle)
        ends.append((low, high))
    low, high = max(ends[0][0] - margin, start), min(ends[1][1] + margin, size)
    # Both at a line's beginning.
    return (start if low == start else _next_line(file, low)), (size if high == size else _next_line(file, high))


def _line_from(file: IO[bytes], offset: int, size: int) -> tuple[float, int] | None:
    """Return the first number of the first whole line from an offset on, and where that line ends; None if none."""
    file.seek(max(offset - 1, 0))
    piece = file.read(_PROBE)
    begin = 0 if offset == 0 else piece.find(b"\n") + 1
    end = piece.find(b"\n", begin)
    words = piece[begin : end if end >= 0 else None].split()
    try:
        return float(words[0]), min(max(offset - 1, 0) + (end if end >= 0 else len(piece)) + 1, size)
    except (IndexError, ValueError):
        return None


def _next_line(file: IO[bytes], offset: int) -> int:
    file.seek(offset - 1)
    file.readline(_LONGEST_LINE)
    return file.tell()


def _last_line(file: IO[bytes], size: int) -> bytes:
    file.seek(max(size - _PROBE, 0))
    return file.read().rstrip().rpartition(b"\n")[2]


def _explained(path: Path, text: bytes, counts: tuple[int, ...], start: int) -> GridFormatError:
    """Return what is wrong with a text, with the number of the first bad line."""
    expected = " or ".join(map(str, counts))
    number = path.read_bytes()[:start].count(b"\n")
    columns = 0
    for line in text.split(b"\n"):
        number += 1
        words = line.split()
        columns = columns or len(words)
        if words and (len(words) not in counts or len(words) != columns):
            wanted = expected if len(words) not in counts else f"{columns} as in the lines before it"
            return GridFormatError(
                f"{path}: line {number} has {len(words)} columns, expected {wanted} ({_shown(line)}): "
                f"truncated, or of another format? {_AGAIN}"
            )
        for word in words:
            if not _is_number(word):
                return GridFormatError(
                    f"{path}: line {number}: {_shown(word)} is no number: damaged, or of another format? {_AGAIN}"
                )
    return GridFormatError(f"{path}: holds no lines of {expected} numbers; is it of another format? {_AGAIN}")


def _is_number(word: bytes) -> bool:
    return parse_numbers(word) is not None


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("latin1").strip())
