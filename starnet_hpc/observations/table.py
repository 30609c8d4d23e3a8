"""Tables that people bring (CSV, FITS, Parquet): columns by one name, whatever a survey calls them."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.grids.fitsfile import hdu_at, is_table, opened_fits
from starnet_hpc.labels import LABELS

_ALSO: Mapping[str, tuple[str, ...]] = {
    "path": ("file", "filename", "file_name"),
    "id": ("cname", "object", "star", "target", "name"),
    "snr": ("s_n", "sn"),
    "group": ("ges_type",),
    "teff": ("t_eff",),
    "logg": ("log_g",),
    "feh": ("fe_h",),
    "afe": ("a_fe", "alpha_fe", "alphafe"),
    "vsini": ("v_sin_i", "vrot"),
    "vrad": ("v_rad", "rv"),
}
"""Further names of columns, in order of preference, as `_plain` writes them: `[Fe/H]` is `fe_h`."""
_ERRORS = ("e_{}", "{}_err", "err_{}", "{}_error", "sigma_{}")


@dataclass(frozen=True)
class Table:
    """Columns of a table by the names that the package uses."""

    columns: dict[str, list[Any]]
    """Empty cells are None, or text that means so."""
    ignored: tuple[str, ...]
    """Columns that nothing here reads, by their own names."""


def read_table(path: Path) -> Table:
    """Return a table.

    Raises:
        ObservationFormatError: it cannot be read, or two columns have the same name.
        MissingInputError: there is no such file.
    """
    found = _read(path)
    names: dict[str, str] = {}
    for own in found:
        if _plain(own) in names:
            raise ObservationFormatError(f"{path}: two columns have the same name: {names[_plain(own)]}, {own}")
        names[_plain(own)] = own
    columns: dict[str, list[Any]] = {}
    for name, accepted in accepted_names().items():
        there = [other for other in accepted if other in names]
        if there:
            columns[name] = found[names.pop(there[0])]
    return Table(columns, tuple(names.values()))


def accepted_names() -> dict[str, tuple[str, ...]]:
    """Return the plain names under which each column is found, the package's own first."""
    names = {name: (name, *_ALSO.get(name, ())) for name in ("path", "id", "snr", "group", *LABELS)}
    for label in LABELS:
        names[f"e_{label}"] = tuple(form.format(name) for name in names[label] for form in _ERRORS)
    return names


def _plain(name: object) -> str:
    """Return a column's name in small letters, with one underscore for whatever is neither letter nor digit."""
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def _read(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a table by their own names."""
    readers = {
        ".csv": _read_csv,
        ".fits": _read_fits,
        ".fit": _read_fits,
        ".parquet": _read_parquet,
        ".pq": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ObservationFormatError(f"{path}: a manifest is a .csv, .fits or .parquet file; rename or convert it")
    try:
        return reader(path)
    except FileNotFoundError:
        raise MissingInputError(f"survey.manifest: there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise ObservationFormatError(f"{path}: cannot be read as a table ({problem}); write it again") from None


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        columns: dict[str, list[Any]] = {name: [] for name in header}
        if len(columns) < len(header):
            raise ObservationFormatError(f"{path}: two columns have the same name: {', '.join(header)}")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise ObservationFormatError(
                    f"{path}: line {rows.line_num} has {len(row)} cells, the header has {len(header)}"
                )
            for name, cell in zip(header, row, strict=True):
                columns[name].append(cell)
    return columns


def _read_fits(path: Path) -> dict[str, list[Any]]:
    with opened_fits(path, ObservationFormatError) as hdus:
        hdu = hdu_at(hdus, 1, path, ObservationFormatError)
        if not is_table(hdu):
            raise ObservationFormatError(f"{path}: HDU 1 is not a binary table")
        return {name: hdu.data[name].tolist() for name in hdu.columns.names}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return columns
