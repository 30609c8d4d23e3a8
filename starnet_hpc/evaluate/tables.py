"""A table: what a CSV file, a part of the page and a figure all show."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words

Value = str | int | float
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Column:
    """One column; with `error`, two of them in the CSV and `value ± error` on the page."""

    name: str
    """Name in the CSV file."""
    title: str = ""
    """Heading on the page; without one the column is in the CSV only."""
    note: str = ""
    """What it is, for those who ask (shown when the pointer rests on the heading)."""
    error: str = ""
    """Name of the column with the standard errors of this one."""


@dataclass(frozen=True)
class Table:
    """Rows of named values; numbers in the units that the row or the heading names."""

    name: str
    """Name of the CSV file, without ending."""
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that people see on the page."""
        return tuple(column for column in self.columns if column.title)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the CSV file, errors behind what they are the errors of."""
        return tuple(name for column in self.columns for name in (column.name, column.error) if name)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers [rows]; NaN where there is none."""
        return np.array([row.get(name, math.nan) for row in self.rows], dtype=np.float64)

    def texts(self, name: str) -> list[str]:
        """Return a column of words [rows]."""
        return [str(row.get(name, "")) for row in self.rows]

    def distinct(self, name: str) -> list[str]:
        """Return the different words of a column, in the order in which they first appear."""
        return list(dict.fromkeys(self.texts(name)))

    def where(self, **wanted: Value) -> "Table":
        """Return the table with the rows whose columns have these values."""
        rows = tuple(row for row in self.rows if all(row.get(key) == value for key, value in wanted.items()))
        return Table(self.name, self.caption, self.columns, rows)

    def only(self, keep: Callable[[Row], bool]) -> "Table":
        """Return the table with the rows for which `keep(row)` is true."""
        return Table(self.name, self.caption, self.columns, tuple(filter(keep, self.rows)))

    def first(self, **wanted: Value) -> Row | None:
        """Return the first row whose columns have these values, or None."""
        return next(iter(self.where(**wanted).rows), None)

    def csv(self) -> str:
        """Return the text of the CSV file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows([written(row.get(name, math.nan)) for name in self.names] for row in self.rows)
        return text.getvalue()

    def lines(self) -> list[str]:
        """Return the shown columns as lines of text with aligned columns, for terminals and logs."""
        cells = [[column.title for column in self.shown]]
        cells += [[cell_text(row, column) for column in self.shown] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return ["  ".join(_aligned(*pair) for pair in zip(row, widths, strict=True)).rstrip() for row in cells]


def table(name: str, caption: str, columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    """Return a table of any iterables of columns and rows."""
    return Table(name, caption, tuple(columns), tuple(rows))


def written(value: Value) -> str:
    """Return a value as the CSV file (and, for sorting, the page) has it: seven digits, nothing for NaN."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return str(int(value))
    return f"{value:.7g}" if math.isfinite(value) else ""


def cell_text(row: Row, column: Column) -> str:
    """Return a cell as people read it."""
    value = row.get(column.name, math.nan)
    if isinstance(value, str):
        return words.plain(value) if column.name == "label" else value
    if isinstance(value, int | np.integer):
        return words.count(int(value))
    if column.error:
        error = row.get(column.error, math.nan)
        return words.with_error(value, float(error))
    return words.number(value)


def _aligned(text: str, width: int) -> str:
    """Return text padded to a width: numbers to the right, words to the left."""
    return text.rjust(width) if text[:1].isdigit() or text[:1] in "-+−–" else text.ljust(width)
