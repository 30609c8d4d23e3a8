"""Which spectra a survey consists of: the files of a folder, or the rows of a manifest and what is known of them."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.config import SurveyConfig
from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS
from starnet_hpc.grids.folders import files_ending, nothing_in
from starnet_hpc.grids.sampling import spread
from starnet_hpc.grids.template import PLAUSIBLE
from starnet_hpc.labels import LABELS
from starnet_hpc.observations.registry import READERS
from starnet_hpc.observations.table import Table, accepted_names, read_table

_LIMITS = {**PLAUSIBLE, "vsini": (0.0, 1_000.0), "vrad": (-3_000.0, 3_000.0)}
"""A reference label outside is a placeholder such as -9999, and would spoil every comparison."""
_UNKNOWN = {"", "nan", "null", "none", "--", "n/a", "na"}
_OTHER_ENDINGS = (*READERS["espadons"].endings, *READERS["text"].endings)
"""Looked for where no format is given and a folder has no FITS file."""
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
    remarks: tuple[str, ...] = ()
    """What the user should know of how files and manifest were brought together."""

    def __len__(self) -> int:
        return len(self.paths)

    def sample(self, count: int | None) -> "Listing":
        """Return `count` of the spectra, evenly spread; all of them if there are no more, or for None."""
        places = spread(len(self), count)
        return replace(
            self,
            paths=tuple(self.paths[k] for k in places),
            ids=tuple(self.ids[k] for k in places),
            snr=self.snr[places],
            group=tuple(self.group[k] for k in places),
            reference=self.reference[places],
            reference_error=self.reference_error[places],
        )


def listing_of(survey: SurveyConfig) -> Listing:
    """Return the spectra that a configuration asks for.

    Raises:
        MissingInputError: the folder or the manifest is not there, or is empty.
        ObservationFormatError: the manifest cannot be read, lacks `path`, or has a wrong value; or ids are not unique.
    """
    if survey.manifest is not None:
        table = read_table(survey.manifest)
        if "path" not in table.columns and "id" in table.columns and survey.path is not None:
            return _matched(table, survey.manifest, _files_in(survey.path, survey.format))
        return _from_manifest(table, survey.manifest, survey.path or survey.manifest.parent)
    assert survey.path is not None  # noqa: S101 - SurveyConfig has checked that one of the two is given
    paths = _files_in(survey.path, survey.format)
    unknown = np.full((len(paths), len(LABELS)), np.nan)
    ids = _unique([file_id(path) for path in paths], survey.path)
    return Listing(tuple(paths), ids, np.full(len(paths), np.nan), ("",) * len(paths), unknown, unknown.copy())


def spectra_endings(observation_format: str | None) -> tuple[tuple[str, ...], ...]:
    """Return how names of spectra end, in small letters: a folder's are those of the first group that it has any of."""
    return (READERS[observation_format].endings,) if observation_format else (FITS_ENDINGS, _OTHER_ENDINGS)


def file_id(path: Path) -> str:
    """Return the identifier of a spectrum of which nothing but its file is known: the name without its ending."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name


def _files_in(folder: Path, observation_format: str | None) -> list[Path]:
    """Return the files of a folder that are spectra by their names: of a format, or FITS files, or else text files."""
    chosen = spectra_endings(observation_format)
    for endings in chosen:
        if found := files_ending(folder, endings, ObservationFormatError, "survey.path"):
            return found
    names = ", ".join(dict.fromkeys(f"*{ending}" for endings in chosen for ending in endings))
    raise nothing_in(folder, f"spectrum ({names})", "survey.path")


def _from_manifest(found: Table, manifest: Path, base: Path) -> Listing:
    table = found.columns
    if "path" not in table:
        also = ", ".join(accepted_names()["path"])
        raise ObservationFormatError(
            f"{manifest}: has no column `path` (or {also}) of the spectra's files, relative to {base}; columns: "
            f"{', '.join([*table, *found.ignored]) or 'none'}. A catalogue without files is matched by its ids with "
            f"the headers of the files in survey.path"
        )
    names = _texts(table, "path", manifest)
    if not names:
        raise MissingInputError(f"{manifest}: lists no spectrum")
    empty = [row for row, name in enumerate(names) if not name]
    if empty:
        raise ObservationFormatError(f"{manifest}: row {empty[0] + 1} has no `path`")
    paths = tuple(base / name for name in names)
    ids = _texts(table, "id", manifest) if "id" in table else [file_id(path) for path in paths]
    remedy = "give each row a name of its own in `id`" if "id" in table else "add a column `id` with names"
    snr = _numbers(table, "snr", len(paths), manifest)
    return Listing(
        paths=paths,
        ids=_unique(ids, manifest, remedy),
        snr=np.where(snr > 0, snr, np.nan),
        group=tuple(_texts(table, "group", manifest)) if "group" in table else ("",) * len(paths),
        reference=_columns(table, tuple(LABELS), _LIMITS, len(paths), manifest),
        reference_error=_columns(table, tuple(f"e_{name}" for name in LABELS), {}, len(paths), manifest),
        ignored=found.ignored,
    )


def _matched(found: Table, catalogue: Path, paths: list[Path]) -> Listing:
    """Return files with what a catalogue knows of the stars that their headers (OBJECT) or their own names tell."""
    table = found.columns
    names = _unique(_texts(table, "id", catalogue), catalogue, "keep one row of each star")
    if not names:
        raise MissingInputError(f"{catalogue}: lists no star")
    rows = {name: row for row, name in enumerate(names)}
    objects = [_object_name(path) for path in paths]
    ids = _unique(
        [name if name in rows else file_id(path) for name, path in zip(objects, paths, strict=True)],
        catalogue,
        "several files are of one star: give the catalogue a column `path` that names one for each row",
    )
    place = np.array([rows.get(name, -1) for name in ids])
    missing = len(rows) - np.count_nonzero(place >= 0)
    if missing == len(rows):
        raise ObservationFormatError(
            f"{catalogue}: no file's header (OBJECT) or own name is one of its ids, such as {names[0]}; the first file "
            f"is {paths[0].name}, of {objects[0]!r}: give the catalogue a column `path` instead"
        )

    def picked(values: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen: NDArray[np.float64] = values[place].copy()
        chosen[place < 0] = np.nan
        return chosen

    snr = picked(_numbers(table, "snr", len(names), catalogue))
    groups = _texts(table, "group", catalogue) if "group" in table else [""] * len(names)
    unknown = int(np.count_nonzero(place < 0))
    return Listing(
        paths=tuple(paths),
        ids=ids,
        snr=np.where(snr > 0, snr, np.nan),
        group=tuple(groups[row] if row >= 0 else "" for row in place),
        reference=picked(_columns(table, tuple(LABELS), _LIMITS, len(names), catalogue)),
        reference_error=picked(_columns(table, tuple(f"e_{name}" for name in LABELS), {}, len(names), catalogue)),
        ignored=found.ignored,
        remarks=(
            *((f"{unknown} of {len(paths)} files are of no star in {catalogue}",) if unknown else ()),
            *((f"{missing} of {len(rows)} stars in {catalogue} have no file",) if missing else ()),
        ),
    )


def _object_name(path: Path) -> str:
    """Return OBJECT of a FITS file's first header, "" if it cannot be had (reading the file will say why)."""
    if not path.name.lower().endswith(FITS_ENDINGS):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(fits.getheader(path, 0).get("OBJECT", "")).strip()
        except Exception:  # noqa: BLE001 - a damaged file makes astropy raise nearly anything
            return ""


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


def _unique(
    ids: Sequence[str], where: Path, remedy: str = "rename the files, or give a manifest with a column `id`"
) -> tuple[str, ...]:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        shown = ", ".join(twice[:_MOST_NAMED]) + (", ..." if len(twice) > _MOST_NAMED else "")
        raise ObservationFormatError(
            f"{where}: identifiers must be unique, but {len(twice)} occur more than once: {shown}; {remedy}"
        )
    return tuple(ids)
