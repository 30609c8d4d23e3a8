"""The catalogue's files: a FITS binary table and the same as Parquet, written block by block."""

import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.units import Unit
from numpy.typing import NDArray

from starnet_hpc.flags import Flag
from starnet_hpc.predict.catalogue import Column, ascii_of
from starnet_hpc.stores import write_atomically

_Header = Mapping[str, tuple[str | int, str]]

_FITS_BLOCK = 2880
"""A FITS file is made of pieces of so many bytes."""


def write_catalogue(path: Path, blocks: Iterable[Sequence[Column]], header: _Header) -> None:
    """Write `path` (FITS) and the same with the ending `.parquet`, each whole or not at all.

    No date is written: the same blocks give the same bytes.

    Args:
        path: ends in `.fits`.
        blocks: the columns of consecutive rows, at least one block; of text, each block is as wide as the others. One
            block is in memory at a time.
        header: value and comment by keyword.

    Raises:
        StorageFullError: the disk or the quota is full.
    """
    # FITS begins with a checksum of all that follows: rows wait in a file without a name, which nobody can find half.
    with tempfile.TemporaryFile(dir=path.parent) as rows:
        first: list[Column] = []

        def write_blocks(file: IO[bytes]) -> None:
            writer = None
            for columns in blocks:
                if writer is None:
                    first.extend(Column(c.name, c.values[:0], c.unit, c.description) for c in columns)
                    writer = pq.ParquetWriter(file, _parquet_schema(columns, header), compression="zstd")
                writer.write_table(pa.table([pa.array(c.values) for c in columns], schema=writer.schema))
                rows.write(_records(columns).tobytes())
            if writer is None:
                raise ValueError("a catalogue needs at least one block, if only of no rows")
            writer.close()

        write_atomically(path.with_suffix(".parquet"), write_blocks)
        write_atomically(path, lambda file: _write_fits(file, rows, first, header))


def _parquet_schema(columns: Sequence[Column], header: _Header) -> pa.Schema:
    """Return the schema, with units and descriptions in the fields' metadata."""
    fields = [
        pa.field(c.name, pa.array(c.values[:0]).type, metadata={"unit": c.unit, "description": c.description})
        for c in columns
    ]
    metadata = {key: str(value) for key, (value, _) in header.items()}
    metadata |= {f"flag_{flag.name}": str(flag.value) for flag in Flag}
    return pa.schema(fields, metadata=metadata)


def _records(columns: Sequence[Column]) -> NDArray[np.void]:
    """Return rows as FITS has them: numbers big-endian, text in ASCII."""
    kinds = [(c.name, _fits_type(c.values)) for c in columns]
    records = np.empty(columns[0].values.size, dtype=kinds)
    for column in columns:
        text = column.values.dtype.kind == "U"
        records[column.name] = [ascii_of(str(value)) for value in column.values] if text else column.values
    return records


def _write_fits(file: IO[bytes], rows: IO[bytes], columns: Sequence[Column], header: _Header) -> None:
    """Write a table with units, descriptions, the meaning of the flags, and checksums.

    Args:
        file: to write to.
        rows: what `_records` made of all blocks.
        columns: without rows.
        header: value and comment by keyword.
    """
    rows.flush()
    kind, size = _records(columns).dtype, rows.tell()
    # Mapped, not read: astropy goes through it once, for the checksum.
    data = np.memmap(rows, dtype=kind, mode="r") if size else np.empty(0, kind)
    table = fits.BinTableHDU(data.view(fits.FITS_rec), name="CATALOGUE")
    for number, column in enumerate(columns, start=1):
        unit = _fits_unit(column.unit)
        if unit:
            table.header.set(f"TUNIT{number}", unit, after=f"TFORM{number}")
        remark = f" [{column.unit}]" if column.unit and not unit else ""
        table.header[f"TCOMM{number}"] = column.description + remark
    for key, value in header.items():
        table.header[key] = value
    for flag in Flag:
        table.header.add_comment(f"flag {flag.value:>8d} = bit {flag.value.bit_length() - 1:2d}: {flag.name}")
    primary = fits.PrimaryHDU()
    primary.header["EXTEND"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # long digests spill into CONTINUE cards, as allowed
        for hdu in (primary, table):
            hdu.add_checksum(when="of the data and header as written")
            file.write(hdu.header.tostring().encode("ascii"))
    rows.seek(0)
    shutil.copyfileobj(rows, file, 1 << 20)
    file.write(b"\0" * (-size % _FITS_BLOCK))


@cache  # to say no, astropy looks for what could have been meant, among thousands of units
def _fits_unit(unit: str) -> str | None:
    """Return a unit for TUNIT, None for those that the FITS standard does not know (dex), at which readers complain."""
    try:
        Unit(unit, format="fits")
    except ValueError:
        return None
    return unit or None


def _fits_type(values: NDArray[np.generic]) -> str:
    if values.dtype.kind == "U":
        return f"S{max(1, values.dtype.itemsize // 4)}"
    return {"f8": ">f8", "i4": ">i4", "i2": ">i2"}[values.dtype.str[1:]]
