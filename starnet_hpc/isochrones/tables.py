"""Isochrones in tables of one's own, CSV or HDF5: columns `teff` [K], `logg`, and if known `feh` [dex], `age_gyr`.

Points stand in the order in which a line should join them; another `feh` or `age_gyr` begins another isochrone.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import IsochroneFormatError
from starnet_hpc.isochrones.isochrone import Isochrone, checked

_NAMES = ("teff", "logg", "feh", "age_gyr")


def read_csv(path: Path, text: str) -> list[Isochrone]:
    """Return the isochrones of a CSV file.

    Raises:
        IsochroneFormatError: a column is not there, or not of numbers.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        columns = {name: np.array([float(row[name]) for row in rows]) for name in _NAMES if rows and rows[0].get(name)}
    except (TypeError, ValueError) as error:
        raise IsochroneFormatError(f"{path}: a line is not of numbers ({error})") from None
    return list(_isochrones(path, columns))


def read_hdf5(path: Path) -> list[Isochrone]:
    """Return the isochrones of an HDF5 file with one data set a column.

    Raises:
        IsochroneFormatError: h5py is not installed, the file cannot be read, or a column is not there.
    """
    try:
        import h5py
    except ImportError:
        raise IsochroneFormatError(
            f"{path}: reading HDF5 needs h5py (pip install 'starnet-hpc[hdf5]'); or write the table as CSV"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            columns = {name: np.asarray(file[name], dtype=np.float64) for name in _NAMES if name in file}
    except (OSError, TypeError, ValueError) as error:
        raise IsochroneFormatError(f"{path}: cannot be read as HDF5 ({error})") from None
    return list(_isochrones(path, columns))


def _isochrones(path: Path, columns: Mapping[str, NDArray[np.float64]]) -> Iterator[Isochrone]:
    if missing := [name for name in _NAMES[:2] if name not in columns]:
        raise IsochroneFormatError(
            f"{path}: has no column {' and no column '.join(missing)}; expected {', '.join(_NAMES[:2])} and, where "
            f"known, {' and '.join(_NAMES[2:])}"
        )
    size = columns["teff"].size
    if any(values.shape != (size,) for values in columns.values()):
        raise IsochroneFormatError(f"{path}: its columns differ in length")
    feh, age = (columns.get(name, np.full(size, np.nan)) for name in _NAMES[2:])
    changed = (np.diff(np.nan_to_num(feh)) != 0) | (np.diff(np.nan_to_num(age)) != 0)
    for rows in np.split(np.arange(size), np.flatnonzero(changed) + 1):
        if rows.size:
            first = rows[0]
            one = Isochrone(path, "table", age[first], feh[first], columns["teff"][rows], columns["logg"][rows])
            yield checked(one)
