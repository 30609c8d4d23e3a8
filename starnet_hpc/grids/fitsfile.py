"""FITS files of other people: opened without a warning or a foreign exception ever reaching the user."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.errors import MissingInputError, StarnetError
from starnet_hpc.grids.folders import listed_files
from starnet_hpc.stores import explain_full_disk

FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz")
_GZIP = b"\x1f\x8b"
_CARD = 80
_COUNTS, _MOST = (b"NAXIS   =", b"TFIELDS ="), 999
"""Cards that announce how many further ones there are, and how many there may be (FITS standard 4.0, section 4.4.1)."""
_BLOCK = 16 << 10
"""Bytes of a file's beginning, middle and end that tell it from others of its length."""
_AGAIN = "copy or download it again"


def fits_files(folder: Path, error: type[StarnetError], key: str) -> list[Path]:
    """Return the FITS files that lie directly in a folder, sorted by name.

    Args:
        folder: where to look; its subfolders are not entered.
        error: what to raise when the folder cannot be read.
        key: the configuration's key that named the folder, for messages.

    Raises:
        MissingInputError: there is no such folder, or no FITS file in it.
    """
    what = "FITS file (*.fits, *.fit, with or without .gz)"
    return listed_files(folder, lambda name: name.lower().endswith(FITS_ENDINGS), what, error, key)


@contextmanager
def opened_fits(path: Path, error: type[StarnetError]) -> Iterator[Any]:
    """Give the HDU list of a FITS file; whatever goes wrong while it is open becomes `error` with the file's name.

    Raises:
        MissingInputError: there is no such file.
    """
    _check_head(path, error)
    _check_counts(path, error)
    # Opened here, since astropy leaves a file open that it fails on.
    with foreign_errors(path, error), path.open("rb") as file, fits.open(file, memmap=False) as hdus:
        yield hdus


@contextmanager
def foreign_errors(path: Path, error: type[StarnetError]) -> Iterator[None]:
    """Turn whatever astropy raises about a file into `error` with the file's name, and keep its warnings back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of (truncation, odd cards) is checked and raised here
        with library_errors(path, error, "cannot be read as FITS", f"it is probably damaged: {_AGAIN}"):
            yield


@contextmanager
def library_errors(path: Path, error: type[StarnetError], fault: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises about a file into `error` with the file's name, what is wrong and what to do."""
    try:
        yield
    except StarnetError:
        raise
    except Exception as problem:  # noqa: BLE001 - a damaged file makes libraries raise nearly anything
        text = " ".join(str(problem).split())[:200]
        raise error(f"{path}: {fault} ({type(problem).__name__}: {text}); {remedy}") from None


def hdu_at(hdus: Any, index: int, path: Path, error: type[StarnetError]) -> Any:
    """Return HDU number `index` after checking that the file holds all of its bytes."""
    try:
        hdu = hdus[index]
    except IndexError:
        raise error(f"{path}: has no HDU {index}, only {len(hdus)}; is it truncated, or of another format?") from None
    end = hdu.fileinfo()["datLoc"] + hdu.size
    # A compressed file's length says nothing; reading past its end raises.
    if (length := path.stat().st_size) < end and not _is_gzip(path):
        raise error(f"{path}: is truncated: HDU {index} should end at byte {end}, the file has {length}; {_AGAIN}")
    return hdu


def column(hdu: Any, names: tuple[str, ...], path: Path, error: type[StarnetError]) -> NDArray[np.float64]:
    """Return a column of a table as float64: [rows], or [n] of a single row that holds a vector.

    Args:
        hdu: the table.
        names: of the column, in order of preference, in any case of letters.
        path: of the file, for messages.
        error: what to raise if there is no such column, or if it holds something else.
    """
    name = find_column(hdu, names)
    if name is None:
        there = ", ".join(hdu.columns.names) if is_table(hdu) else "none (it is no table)"
        raise error(f"{path}: HDU {hdu.name or 1} has no column {' or '.join(names)}; columns: {there}")
    values = np.asarray(hdu.data[name])
    if values.ndim == 2 and values.shape[0] == 1:
        values = values[0]
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise error(
            f"{path}: column {name} should hold one number a sample, but is {values.dtype.name} of shape {values.shape}"
        )
    return values.astype(np.float64)


def find_column(hdu: Any, names: tuple[str, ...]) -> str | None:
    """Return the first of these names (in any case of letters) that a table has as a column."""
    if not is_table(hdu):
        return None
    there = {str(name).lower(): str(name) for name in hdu.columns.names}
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def is_table(hdu: Any) -> bool:
    """Whether an HDU is a binary table."""
    return isinstance(hdu, fits.BinTableHDU)


def number(header: Any, key: str, path: Path, error: type[StarnetError]) -> float:
    """Return a header keyword as a number."""
    if key not in header:
        raise error(f"{path}: the header lacks keyword {key}; is the file of another format?")
    with foreign_errors(path, error):  # astropy reads a card when it is asked for it
        value = header[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(f"{path}: header keyword {key} should be a number, but is {value!r}")
    return float(value)


def identity(path: Path) -> tuple[int, str]:
    """Return a file's length in bytes, and checksums of its beginning, middle and end; -1 and "" if it cannot be read.

    Copying a file changes neither, and reducing a spectrum again changes the checksums also where it keeps the length:
    dates and numbers in the header, and fluxes everywhere. Reading will say why a file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            places = dict.fromkeys((0, max(size - _BLOCK, 0) // 2, max(size - _BLOCK, 0)))
            checksums = [google_crc32c.value(os.pread(file.fileno(), _BLOCK, place)) for place in places]
    except OSError:
        return -1, ""
    return size, " ".join(f"{checksum:08x}" for checksum in checksums)


def write_fits(path: Path, hdus: list[Any]) -> None:
    """Write a FITS file aside, then rename it: it is whole or absent.

    Raises:
        StorageFullError: the disk or the quota is full.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with explain_full_disk(path):
        try:
            with aside.open("wb") as file:
                fits.HDUList(hdus).writeto(file)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def first_bytes(path: Path, count: int, error: type[StarnetError]) -> bytes:
    """Return the first bytes of a file, at most `count` (-1: all).

    Raises:
        MissingInputError: there is no such file.
    """
    with system_errors(path, error, "a file"), path.open("rb") as file:
        head = file.read(count)
    if not head:
        raise error(f"{path}: is empty (0 bytes); {_AGAIN}")
    return head


@contextmanager
def system_errors(path: Path, error: type[StarnetError], expected: str) -> Iterator[None]:
    """Say in words why the system does not open or read a file."""
    try:
        yield
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder, not {expected}") from None
    except PermissionError:
        raise error(f"{path}: permission denied; make it readable (chmod u+r), or ask its owner") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from None


def _check_head(path: Path, error: type[StarnetError]) -> None:
    head = first_bytes(path, 9, error)
    if head != b"SIMPLE  =" and not head.startswith(_GZIP):
        raise error(f"{path}: is not a FITS file (it does not begin with 'SIMPLE  ='); {_AGAIN}, or move it away")


def _check_counts(path: Path, error: type[StarnetError]) -> None:
    """Refuse a header that announces more axes or columns than FITS allows: astropy would count them one by one."""
    raw = path.read_bytes()
    for key in _COUNTS:
        place = raw.find(key)
        while place >= 0:
            value = raw[place + len(key) : place + _CARD].partition(b"/")[0].strip()
            if place % _CARD == 0 and value.isdigit() and int(value) > _MOST:
                word = key.split()[0].decode()
                raise error(f"{path}: {word} is {int(value)}, but FITS allows {_MOST}; it is damaged: {_AGAIN}")
            place = raw.find(key, place + 1)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP
