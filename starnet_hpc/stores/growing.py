"""A table of text that only grows, and is whole after a crash at any moment.

It is ECSV (Enhanced Character-Separated Values, Astropy Proposal for Enhancement 6): CSV below comments that say what
each column is, so that astropy reads units and types, and everything else reads numbers. A row is one line; each is on
the disk before the next one is begun. A kill or a power cut can tear the last line only, which is taken away when the
table is opened again.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from starnet_hpc.errors import StoreDamagedError, StoreMismatchError
from starnet_hpc.stores.files import explain_full_disk, only_writer, write_atomically

Cell = str | int | float

Kind = Literal["string", "int64", "float64"]
"""Type of a column's cells, in ECSV's words."""


@dataclass(frozen=True)
class Field:
    """One column."""

    name: str
    kind: Kind
    unit: str
    """As astropy understands it; "" is none."""
    description: str


class GrowingTable:
    """A table that is open for further rows."""

    def __init__(self, path: Path, fields: Sequence[Field], descriptor: int, torn: int) -> None:
        self.path = path
        self.torn = torn
        """Bytes of a last line without its end that were taken away."""
        self._names = [field.name for field in fields]
        self._descriptor = descriptor

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add a row, a value for each column, and return when it is on the disk.

        Raises:
            StorageFullError: no space is left; the table is as it was before.
        """
        line = _line([row[name] for name in self._names])
        before = os.fstat(self._descriptor).st_size
        with explain_full_disk(self.path):
            try:
                _write_whole(self._descriptor, line)
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, before)
                raise


@contextmanager
def growing_table(
    path: Path,
    fields: Sequence[Field],
    facts: Mapping[str, Any],
    *,
    each: Callable[[dict[str, str]], None],
) -> Iterator[GrowingTable]:
    """Open a table for further rows; it is created if it is not there. One process at a time.

    Args:
        path: of the table.
        fields: its columns.
        facts: plain values that all of its rows have in common; they become its `meta`.
        each: is told every row that is there, as text by the names of the columns.

    Raises:
        StoreMismatchError: a table with other columns or facts is there.
        StoreDamagedError: a line in it is no row.
        RunDirectoryBusyError: another process has it open.
        StorageFullError: there is no space for its head.
    """
    head = _head(fields, facts)
    with only_writer(path):
        if not path.exists():
            write_atomically(path, lambda file: file.write(head))
        whole = _read(path, head, [field.name for field in fields], each)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            torn = os.fstat(descriptor).st_size - whole
            if torn > 0:
                os.ftruncate(descriptor, whole)
            yield GrowingTable(path, fields, descriptor, torn)
        finally:
            os.close(descriptor)


def one_line(text: str) -> str:
    r"""Return text without line breaks and other characters that do not print: these become `\n`, `\x07`, `\udc80`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _head(fields: Sequence[Field], facts: Mapping[str, Any]) -> bytes:
    """Return the lines above the rows: a table of the same columns and facts begins with the same bytes."""
    described = [
        {"name": field.name}
        | ({"unit": field.unit} if field.unit else {})
        | {"datatype": field.kind, "description": field.description}
        for field in fields
    ]
    known = {"delimiter": ",", "datatype": described, "meta": dict(facts), "schema": "astropy-2.0"}
    text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=None)
    lines = ["%ECSV 1.0", "---", *text.splitlines()]
    names = ",".join(field.name for field in fields)
    return ("".join(f"# {line}\n" for line in lines) + f"{names}\n").encode()


def _read(path: Path, head: bytes, names: Sequence[str], each: Callable[[dict[str, str]], None]) -> int:
    """Return how many bytes of a table are whole lines, after telling its rows."""
    with path.open("rb") as file:
        if file.read(len(head)) != head:
            raise StoreMismatchError(
                f"{path}: was begun with other members, settings or columns; move it away, or write to another file"
            )
        whole, number = len(head), head.count(b"\n")
        for line in file:
            if not line.endswith(b"\n"):
                break
            number += 1
            cells = next(csv.reader([line.decode(errors="replace")]), [])
            if len(cells) != len(names):
                raise StoreDamagedError(
                    f"{path}: line {number} has {len(cells)} values, expected {len(names)}; mend or remove the line"
                )
            each(dict(zip(names, cells, strict=True)))
            whole += len(line)
    return whole


def _line(cells: Sequence[Cell]) -> bytes:
    """Return one line; texts stand in quotes, numbers have all their digits."""
    plain = [one_line(cell) if isinstance(cell, str) else cell for cell in cells]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerow(plain)
    return text.getvalue().encode()


def _write_whole(descriptor: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(descriptor, left) :]
