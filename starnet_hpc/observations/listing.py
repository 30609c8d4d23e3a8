"""Which spectra a survey consists of: the files of a folder, or the rows of a manifest and what is known of them."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from starnet_hpc.config import SurveyConfig
from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.grids.fitsfile import fits_files, hdu_at, is_table, opened_fits
from starnet_hpc.grids.template import PLAUSIBLE
from starnet_hpc.labels import LABELS

_LIMITS = {**PLAUSIBLE, "vsini": (0.0, 1_000.0), "vrad": (-3_000.0, 3_000.0)}
"""A reference label outside is a placeholder such as -9999, and would spoil every comparison."""
_UNKNOWN = {"", "nan", "null", "none", "--", "n/a", "na"}
_KNOWN_COLUMNS = ("path", "id", "snr", "group", *LABELS, *(f"e_{name}" for name in LABELS))
_MOST_NAMED = 5


@dataclass(frozen=True)
class Listing:
    """The spectra of a survey, in order."""

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    """Unique names."""
    snr: NDArray[np.float64]
    """Signal-to-noise ratio a pixel [n], NaN where it is not given."""
    group: tuple[str, ...]
    """Name of the group (cluster, class of star), "" where there is none."""
    reference: NDArray[np.float64]
    """Known labels [n, labels] in the order of `labels.LABELS`, NaN where unknown."""
    reference_error: NDArray[np.float64]
    """Their standard deviations [n, labels], NaN where unknown."""
    ignored: tuple[str, ...] = ()
    """Columns of the manifest that nothing here reads."""

    def __len__(self) -> int:
        return len(self.paths)


def listing_of(survey: SurveyConfig) -> Listing:
    """Return the spectra that a configuration asks for.

    Raises:
        MissingInputError: the folder or the manifest is not there, or is empty.
        ObservationFormatError: the manifest cannot be read, lacks `path`, or has a wrong value; or ids are not unique.
    """
    if survey.manifest is not None:
        return _from_manifest(survey.manifest, survey.path or survey.manifest.parent)
    assert survey.path is not None  # noqa: S101 - SurveyConfig has checked that one of the two is given
    paths = fits_files(survey.path, ObservationFormatError, "survey.path")
    unknown = np.full((len(paths), len(LABELS)), np.nan)
    ids = _unique([_stem(path) for path in paths], survey.path)
    return Listing(tuple(paths), ids, np.full(len(paths), np.nan), ("",) * len(paths), unknown, unknown.copy())


def _from_manifest(manifest: Path, base: Path) -> Listing:
    table = _read_table(manifest)
    if "path" not in table:
        raise ObservationFormatError(
            f"{manifest}: has no column `path` (of the spectra's files, relative to {base}); "
            f"columns: {', '.join(table) or 'none'}"
        )
    names = _texts(table, "path", manifest)
    if not names:
        raise MissingInputError(f"{manifest}: lists no spectrum")
    empty = [row for row, name in enumerate(names) if not name]
    if empty:
        raise ObservationFormatError(f"{manifest}: row {empty[0] + 1} has no `path`")
    paths = tuple(base / name for name in names)
    ids = _texts(table, "id", manifest) if "id" in table else [_stem(path) for path in paths]
    snr = _numbers(table, "snr", len(paths), manifest)
    return Listing(
        paths=paths,
        ids=_unique(ids, manifest),
        snr=np.where(snr > 0, snr, np.nan),
        group=tuple(_texts(table, "group", manifest)) if "group" in table else ("",) * len(paths),
        reference=_columns(table, tuple(LABELS), _LIMITS, len(paths), manifest),
        reference_error=_columns(table, tuple(f"e_{name}" for name in LABELS), {}, len(paths), manifest),
        ignored=tuple(name for name in table if name not in _KNOWN_COLUMNS),
    )


def _read_table(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a table by their names in small letters; empty cells are None or text that means so."""
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
        columns = reader(path)
    except FileNotFoundError:
        raise MissingInputError(f"survey.manifest: there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise ObservationFormatError(f"{path}: cannot be read as a table ({problem}); write it again") from None
    table = {str(name).strip().lower(): values for name, values in columns.items()}
    if len(table) < len(columns):
        raise ObservationFormatError(f"{path}: two columns have the same name: {', '.join(map(str, columns))}")
    return table


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


def _texts(table: Mapping[str, Sequence[Any]], name: str, manifest: Path) -> list[str]:
    cells = [_text(cell) for cell in table[name]]
    if name == "id" and "" in cells:
        raise ObservationFormatError(f"{manifest}: row {cells.index('') + 1} has no `id`")
    return cells


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return (cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)).strip()


def _columns(
    table: Mapping[str, Sequence[Any]],
    names: tuple[str, ...],
    limits: Mapping[str, tuple[float, float]],
    rows: int,
    manifest: Path,
) -> NDArray[np.float64]:
    """Return columns of numbers [rows, names] after checking that they can be what their names say."""
    values = np.stack([_numbers(table, name, rows, manifest) for name in names], axis=1)
    for column, name in zip(values.T, names, strict=True):
        low, high = limits.get(name, (0.0, np.inf))
        odd = np.flatnonzero((column < low) | (column > high))
        if odd.size:
            raise ObservationFormatError(
                f"{manifest}: row {odd[0] + 1}: {name} = {column[odd[0]]:g} is outside {low:g} to {high:g}; "
                f"leave the cell empty where the value is unknown"
            )
    return values


def _numbers(table: Mapping[str, Sequence[Any]], name: str, rows: int, manifest: Path) -> NDArray[np.float64]:
    """Return a column of numbers [rows]; NaN where there is none, or no such column."""
    values = np.full(rows, np.nan)
    for row, cell in enumerate(table.get(name, ())):
        text = _text(cell)
        if text.lower() in _UNKNOWN:
            continue
        try:
            values[row] = float(text)
        except ValueError:
            raise ObservationFormatError(
                f"{manifest}: row {row + 1}: {name} is {text!r}, expected a number (or nothing)"
            ) from None
    return values


def _unique(ids: Sequence[str], where: Path) -> tuple[str, ...]:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        shown = ", ".join(twice[:_MOST_NAMED]) + (", ..." if len(twice) > _MOST_NAMED else "")
        raise ObservationFormatError(
            f"{where}: identifiers must be unique, but {len(twice)} occur more than once: {shown}; "
            f"rename the files, or give a manifest with a column `id`"
        )
    return tuple(ids)


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name
