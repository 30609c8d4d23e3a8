"""A short cut for FITS files without surprises: a table of plain columns, or one row of numbers, from the file's bytes.

Opening a file with astropy costs more than reading its numbers. What this module does not know to the last card it
leaves to astropy, errors included: it answers None, and never raises.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

_BLOCK = 2880
_CARD = 80
_LAST_CARD = b"END" + b" " * (_CARD - 3)
_KINDS = {"D": ">f8", "E": ">f4", "J": ">i4", "I": ">i2"}
_PIXELS: dict[int, np.dtype[Any]] = {-32: np.dtype(">f4"), -64: np.dtype(">f8")}
_SCALING = ("BSCALE", "BZERO", "BLANK")
_LONGEST_HEADER = 100 * _BLOCK
_ALTERING = ("TSCAL", "TZERO", "TNULL", "TDIM")
"""Keywords that change what a column's numbers mean."""


@dataclass(frozen=True)
class PlainColumns:
    """Some columns of the table in HDU 1, and the primary header."""

    header: Any
    """astropy's header of HDU 0."""
    values: tuple[NDArray[np.float64], ...]
    """The columns asked for [rows]."""
    units: tuple[str, ...]
    """Their units, "" where there is none."""
    optional: NDArray[np.float64] | None
    """The column asked for if it is there [rows]."""


def plain_columns(path: Path, names: tuple[str, ...], optional: str = "") -> PlainColumns | None:
    """Return columns by their exact names, and one more if it is there; None unless the file is as plain as can be."""
    try:
        raw = path.read_bytes()
        return _columns(raw, names, optional)
    except Exception:  # noqa: BLE001 - whatever is odd about the file, astropy's way finds out and says it
        return None


@dataclass(frozen=True)
class PlainImage:
    """Some numbers of the one-dimensional image in HDU 0, and its header."""

    header: Any
    count: int
    """Numbers that the image has."""
    values: NDArray[np.floating[Any]]
    """Those asked for."""


def plain_image(path: Path, part: slice) -> PlainImage | None:
    """Return a part of the image in HDU 0 without reading the rest; None unless the file is as plain as can be."""
    try:
        return _image(path, part)
    except Exception:  # noqa: BLE001 - whatever is odd about the file, astropy's way finds out and says it
        return None


def _image(path: Path, part: slice) -> PlainImage | None:
    with path.open("rb") as file:
        raw = b""
        while _LAST_CARD not in raw and len(raw) < _LONGEST_HEADER and (block := file.read(_BLOCK)):
            raw += block
        data = _header_end(raw, 0)
        header = fits.Header.fromstring(raw[:data])
        kind, count = _PIXELS[header["BITPIX"]], header["NAXIS1"]
        if not raw.startswith(b"SIMPLE  =") or header["NAXIS"] != 1 or any(key in header for key in _SCALING):
            return None
        if file.seek(0, 2) < data + count * kind.itemsize:
            return None
        file.seek(data + part.start * kind.itemsize)
        values = np.frombuffer(file.read((part.stop - part.start) * kind.itemsize), dtype=kind)
    return PlainImage(header, count, values.astype(kind.newbyteorder("=")))


def _columns(raw: bytes, names: tuple[str, ...], optional: str) -> PlainColumns | None:
    end = _header_end(raw, 0)
    data = _header_end(raw, end)
    header = fits.Header.fromstring(raw[:end])
    layout = _layout(raw[end:data])
    if layout is None or not raw.startswith(b"SIMPLE  =") or header["NAXIS"] != 0:
        return None
    rows = np.frombuffer(raw, dtype=layout.dtype, count=layout.rows, offset=data)
    values = tuple(rows[name].astype(np.float64) for name in names)
    more = rows[optional].astype(np.float64) if optional in layout.units else None
    return PlainColumns(header, values, tuple(layout.units[name] for name in names), more)


@dataclass(frozen=True)
class _Layout:
    dtype: np.dtype[np.void]
    rows: int
    units: dict[str, str]


@lru_cache(maxsize=16)  # the files of a grid have the same table header, down to the byte
def _layout(raw: bytes) -> _Layout | None:
    """Return what the header of a binary table says about its rows, or None if it is not a plain one."""
    header = fits.Header.fromstring(raw)
    plain = (
        header["XTENSION"] == "BINTABLE"
        and (header["BITPIX"], header["NAXIS"], header["PCOUNT"], header["GCOUNT"]) == (8, 2, 0, 1)
        and not any(key.startswith(_ALTERING) for key in header)
    )
    if not plain:
        return None
    fields = range(1, header["TFIELDS"] + 1)
    names = [header[f"TTYPE{k}"] for k in fields]
    kinds = [_KINDS[header[f"TFORM{k}"].strip().removeprefix("1")] for k in fields]
    dtype = np.dtype(list(zip(names, kinds, strict=True)))
    if dtype.itemsize != header["NAXIS1"] or len({name.lower() for name in names}) != len(names):
        return None
    return _Layout(dtype, header["NAXIS2"], {name: str(header.get(f"TUNIT{k}", "")) for k, name in enumerate(names, 1)})


def _header_end(raw: bytes, start: int) -> int:
    """Return where the data begin behind the header that begins at `start`."""
    for block in range(start, len(raw), _BLOCK):
        for card in range(block, block + _BLOCK, _CARD):
            if raw.startswith(_LAST_CARD, card):
                return block + _BLOCK
    raise ValueError("a header without an end")
