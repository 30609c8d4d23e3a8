"""Spectra that people have by themselves: a table of labels beside arrays, rows in the same order.

    labels.csv (or .fits, .parquet)   columns teff, logg, feh, afe (or mg_fe, ...) that the grid varies; vmicro if known
    spectra.npz (or .zarr, .h5)       wavelength [samples], flux [rows, samples], continuum [rows, samples] if known

`medium` (air or vacuum) and `unit` (Angstrom, nm or um) of the wavelengths have to be said, and `resolution`
(lambda / FWHM) where the spectra were smoothed: in an NPZ as entries of their own, in Zarr and HDF5 as attributes of
`wavelength` or of the whole. An NPZ is held in memory; for more spectra than that allows take Zarr or HDF5.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray
from pyarrow import csv, parquet

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids.fitsfile import column, find_column, hdu_at, is_table, library_errors, opened_fits
from starnet_hpc.grids.folders import file_state
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template, part_inside
from starnet_hpc.grids.textfile import opened_text
from starnet_hpc.kernels.refraction import vacuum_to_air
from starnet_hpc.labels import ELEMENT_LABELS, GRID_LABELS, ordered

_LABELS = ("labels.csv", "labels.fits", "labels.parquet")
_SPECTRA = ("spectra.npz", "spectra.zarr", "spectra.h5", "spectra.hdf5")
_UNITS = {"angstrom": 1.0, "a": 1.0, "aa": 1.0, "nm": 10.0, "um": 1e4, "micron": 1e4}
_KNOWN = (*GRID_LABELS, *ELEMENT_LABELS.values())
_ALSO = {"mh": "feh", "metallicity": "feh", "alphafe": "afe", "alpham": "afe", "am": "afe", "vmic": "vmicro"}
"""What other tables call the same, without signs between the letters."""
_MEDIA = ("air", "vacuum")


class Table:
    """Reader of a folder with one table of labels and one file (or Zarr group) of spectra."""

    format = "table"

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels that the table has columns for."""
        return ordered(_labels(_the_one(folder, _LABELS)))

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the rows, in the table's order."""
        spectra = _the_one(folder, _SPECTRA)
        rows = next(iter(_labels(_the_one(folder, _LABELS)).values())).size
        with _foreign_errors(spectra):
            count = _arrays(spectra)["flux"].shape[0]
        if count != rows:
            raise GridFormatError(f"{spectra}: flux has {count} rows, the table of labels beside it {rows}")
        return [TemplateSource(spectra, row) for row in range(rows)]

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return the table of labels, and the files of a Zarr group."""
        folders = sorted({source.path for source in sources if source.path.is_dir()})
        inside = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        return [_the_one(sources[0].path.parent, _LABELS), *inside]

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a row.

        Raises:
            GridFormatError: the arrays or the table are not what the format asks for; names which, and the row.
            MissingInputError: a file is not there.
        """
        path, row = source.path, source.row or 0
        table = _labels(_the_one(path.parent, _LABELS))
        arrays = _arrays(path)
        wavelength = _wavelength(path, *file_state(path))
        part = part_inside(wavelength, window)
        flux = _row(arrays, "flux", row, part, path)
        continuum = _row(arrays, "continuum", row, part, path) if "continuum" in arrays else None
        values = {name: float(column[row]) for name, column in table.items()}
        labels = {name: values[name] for name in ordered(values)}
        extra = {name: value for name, value in values.items() if name not in labels}
        resolution = _note(arrays, "resolution")
        template = TemplateSpectrum(
            wavelength[part],
            flux,
            labels,
            source.name,
            extra,
            None if resolution is None else _positive(resolution, path),
            continuum,
        )
        return check_template(template, Path(f"{path}#{row}"))


def _the_one(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the one of these files that a folder has.

    Raises:
        MissingInputError: there is no such folder, or none of them.
        GridFormatError: there are several.
    """
    if not folder.is_dir():
        raise MissingInputError(f"grid.path: there is no folder {folder}; set grid.path to where the files are")
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise MissingInputError(f"grid.path: {folder} has none of {', '.join(names)}; a grid of format table needs one")
    if len(found) > 1:
        raise GridFormatError(f"{folder}: has {' and '.join(path.name for path in found)}; leave one of them there")
    return found[0]


def _labels(path: Path) -> Mapping[str, NDArray[np.float64]]:
    return _cached_labels(path, *file_state(path))


@lru_cache(maxsize=4)
def _cached_labels(path: Path, size: int, modified: int) -> Mapping[str, NDArray[np.float64]]:
    """Return the columns [rows] of a table that are labels or known extras, by name."""
    wanted = (*_KNOWN, "vmicro")
    columns = _from_fits(path, wanted) if path.suffix == ".fits" else _from_arrow(path, wanted)
    if not ordered(columns):
        raise GridFormatError(f"{path}: has no column {', '.join(GRID_LABELS)} or mg_fe; name the columns of labels so")
    for name, values in columns.items():
        if not np.all(np.isfinite(values)):
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise GridFormatError(f"{path}: row {row}: {name} is {values[row]:g}; every spectrum needs its labels")
    if next(iter(columns.values())).size == 0:
        raise MissingInputError(f"{path}: lists no spectrum")
    return columns


def _from_fits(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    with opened_fits(path, GridFormatError) as hdus:
        table = hdu_at(hdus, 1, path, GridFormatError)
        _refuse_near_names(table.columns.names if is_table(table) else (), path)
        there = [name for name in wanted if find_column(table, (name,)) is not None]
        return {name: column(table, (name,), path, GridFormatError) for name in there}


def _from_arrow(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    with opened_text(path):
        pass  # whoever may not read it, or finds it empty, gets the usual words
    with _foreign_errors(path):
        table = csv.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
        names = {name: str(name).strip().lower() for name in table.column_names}
        _refuse_near_names(names, path)
        columns = {}
        for name, plain in names.items():
            if plain in columns:
                raise GridFormatError(f"{path}: two columns are called {plain}; keep one")
            if plain in wanted:
                numbers = table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
                columns[plain] = np.asarray(numbers, dtype=np.float64)
    return columns


def _refuse_near_names(names: Iterable[str], path: Path) -> None:
    """Refuse columns such as `Teff [K]` or `[Fe/H]`: left aside, a label of the grid would not be one.

    Raises:
        GridFormatError: with the name that the column should have.
    """
    wanted = {_bare(name): name for name in (*_KNOWN, "vmicro")} | _ALSO
    for name in names:
        if str(name).strip().lower() in wanted.values():
            continue
        without_unit = re.sub(r"(?<=\w)\s*[\[(].*", "", str(name))
        meant = wanted.get(_bare(str(name))) or wanted.get(_bare(without_unit))
        if meant is not None:
            raise GridFormatError(f"{path}: column {name!r} is not read; call it {meant}, or remove it")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _arrays(path: Path) -> Mapping[str, Any]:
    """Return the arrays and notes of a file of spectra, by name; arrays in Zarr and HDF5 stay on disk.

    Raises:
        GridFormatError: it cannot be read, or lacks one of the two arrays that every grid has.
    """
    if path.suffix == ".npz":
        found = _npz(path, *file_state(path))
    else:
        with _foreign_errors(path):
            found = _zarr(path) if path.suffix == ".zarr" else _hdf5(path)
    missing = [name for name in ("wavelength", "flux") if name not in found]
    if missing:
        raise GridFormatError(f"{path}: has no array {missing[0]}; it has {', '.join(sorted(found)) or 'none'}")
    return found


@lru_cache(maxsize=1)
def _npz(path: Path, size: int, modified: int) -> Mapping[str, Any]:
    # Opened here, since NumPy leaves a file open that it fails on.
    with opened_text(path) as raw, _foreign_errors(path), np.load(raw, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _zarr(path: Path) -> Mapping[str, Any]:
    group = zarr.open_group(path, mode="r")
    arrays = dict(group.arrays())
    return {**dict(group.attrs), **(dict(arrays["wavelength"].attrs) if "wavelength" in arrays else {}), **arrays}


def _hdf5(path: Path) -> Mapping[str, Any]:
    try:
        import h5py
    except ImportError:
        raise GridFormatError(f"{path}: reading HDF5 needs h5py (pip install h5py); or write NPZ or Zarr") from None
    with opened_text(path):
        pass
    file = h5py.File(path, "r")
    arrays = {name: file[name] for name in file}
    return {**dict(file.attrs), **(dict(arrays["wavelength"].attrs) if "wavelength" in arrays else {}), **arrays}


@lru_cache(maxsize=2)
def _wavelength(path: Path, size: int, modified: int) -> NDArray[np.float64]:
    """Return the wavelengths [n], angstrom in air."""
    arrays = _arrays(path)
    medium, unit = (str(_note(arrays, name)).strip().lower() for name in ("medium", "unit"))
    if medium not in _MEDIA or unit not in _UNITS:
        raise GridFormatError(
            f"{path}: medium is {medium!r} and unit is {unit!r}; say air or vacuum, and Angstrom, nm or um (in an NPZ "
            f"as entries, else as attributes of wavelength)"
        )
    with _foreign_errors(path):
        values = np.asarray(arrays["wavelength"][...], dtype=np.float64) * _UNITS[unit]
    if values.ndim != 1 or arrays["flux"].shape[1:] != values.shape:
        raise GridFormatError(
            f"{path}: flux has shape {arrays['flux'].shape}, wavelength {values.shape}; expected [rows, samples] and "
            f"[samples]"
        )
    return values if medium == "air" else vacuum_to_air(values)


def _row(arrays: Mapping[str, Any], name: str, row: int, part: slice, path: Path) -> NDArray[np.floating[Any]]:
    array = arrays[name]
    if array.ndim != 2 or row >= array.shape[0] or part.stop > array.shape[1]:
        raise GridFormatError(f"{path}: {name} has shape {array.shape}; there is no row {row} with {part.stop} samples")
    with _foreign_errors(path):
        values = np.asarray(array[row, part])
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _note(arrays: Mapping[str, Any], name: str) -> Any:
    """Return a note such as the unit, "" if there is none (None for `resolution`)."""
    value = arrays.get(name, None if name == "resolution" else "")
    value = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _positive(value: Any, path: Path) -> float:
    with _foreign_errors(path):
        number = float(value)
    if not number > 0:
        raise GridFormatError(
            f"{path}: resolution is {number:g}; it is lambda / FWHM of the spectra, leave it out if unknown"
        )
    return number


def _foreign_errors(path: Path) -> AbstractContextManager[None]:
    """Turn whatever the libraries raise about a file into our error with the file's name."""
    return library_errors(path, GridFormatError, "cannot be read", "damaged, or of another format: write it again")
