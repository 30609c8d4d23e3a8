"""Reading what `predict` wrote, and refusing what does not belong to the store it was predicted for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table as AstropyTable
from numpy.typing import NDArray

from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreMismatchError
from starnet_hpc.evaluate.sample import LabelColumns
from starnet_hpc.labels import LABELS

_PARTS = {"value": "", "sigma": "_err", "aleatoric": "_aleatoric", "epistemic": "_epistemic"}


@dataclass(frozen=True)
class Catalogue:
    """Predictions for all rows of one store, in its order."""

    path: Path
    written: str
    """Date in the file's header, as it stands there; "" without one."""
    ids: NDArray[np.object_]
    labels: dict[str, LabelColumns]
    flags: NDArray[np.int64]
    n_members: NDArray[np.int64]

    def __len__(self) -> int:
        return self.flags.size


def read_catalogue(path: Path, *, rows: int, store: Path) -> Catalogue:
    """Return a catalogue of stellar labels.

    Args:
        path: the FITS file.
        rows: number of spectra in the store it was predicted for.
        store: that store, for messages.

    Raises:
        MissingInputError: it was not predicted yet.
        StoreDamagedError: it cannot be read, or lacks columns.
        StoreMismatchError: it belongs to another state of the store.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: there is no such catalogue; make it first with `starnet-hpc predict CONFIG`")
    try:
        with fits.open(path) as file:
            header, found = file[1].header, AstropyTable.read(file[1])
        written = str(header.get("DATE", ""))
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise _damaged(path, str(error)) from None
    missing = [name for name in ("id", "flags", "n_members") if name not in found.colnames]
    labels = [name for name in LABELS if name in found.colnames]
    missing += [f"{name}{part}" for name in labels for part in _PARTS.values() if f"{name}{part}" not in found.colnames]
    if missing or not labels:
        raise _damaged(path, f"no column {', '.join(missing or ['of any label'])}")
    if len(found) != rows:
        raise StoreMismatchError(
            f"{path} has {len(found)} rows, but {store} has {rows} spectra: the store was made anew since; "
            f"remove the catalogue and run `starnet-hpc predict CONFIG` again"
        )
    return Catalogue(
        path,
        written,
        np.array([_text(value) for value in found["id"]], dtype=object),
        {name: LabelColumns(*(_floats(found[f"{name}{part}"]) for part in _PARTS.values())) for name in labels},
        np.asarray(found["flags"], dtype=np.int64),
        np.asarray(found["n_members"], dtype=np.int64),
    )


def check_ids(catalogue: Catalogue, ids: Sequence[str], store: Path) -> None:
    """Refuse a catalogue whose rows are not the spectra of a store.

    Raises:
        StoreMismatchError: with the first row that differs.
    """
    for row, (ours, theirs) in enumerate(zip(catalogue.ids, ids, strict=True)):
        if ours != theirs:
            raise StoreMismatchError(
                f"{catalogue.path}: row {row} is {ours!r}, but {store} has {theirs!r} there: the store was made anew "
                f"since; remove the catalogue and run `starnet-hpc predict CONFIG` again"
            )


def _damaged(path: Path, reason: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"{path}: not a catalogue that this program can use ({reason}); "
        f"remove it and run `starnet-hpc predict CONFIG` again"
    )


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _floats(column: Any) -> NDArray[np.float64]:
    filled = column.filled(np.nan) if hasattr(column, "filled") else column  # astropy masks NaN when it reads
    return np.asarray(filled, dtype=np.float64)
