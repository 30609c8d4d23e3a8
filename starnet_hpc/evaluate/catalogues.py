"""Reading what `predict` wrote, and refusing what does not belong to the store it was predicted for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreMismatchError
from starnet_hpc.evaluate.sample import LabelColumns
from starnet_hpc.labels import ordered
from starnet_hpc.statistics import Floats
from starnet_hpc.stores import Store

_PARTS = {"value": "", "sigma": "_err", "aleatoric": "_aleatoric", "epistemic": "_epistemic"}


@dataclass(frozen=True)
class Catalogue:
    """Predictions for all rows of one store, in its order."""

    path: Path
    header: dict[str, str]
    """What `predict` says of its inputs (INPUTDIG, TRAINDIG, MEMBERS, CREATOR, ...)."""
    ids: NDArray[np.object_]
    labels: dict[str, LabelColumns]
    flags: NDArray[np.int64]
    n_members: NDArray[np.int64]
    shift: tuple[Floats, Floats] | None = None
    """Velocities [n, km/s] that spectra were shifted by before the networks saw them, and errors; None: they were not.
    """

    def __len__(self) -> int:
        return self.flags.size


def read_catalogue(path: Path, *, of: Store, training: Store | None) -> Catalogue:
    """Return a catalogue of stellar labels.

    Args:
        path: the FITS file.
        of: the store that it should have been predicted for.
        training: the store that the networks should have been trained on; None for those of another run.

    Raises:
        MissingInputError: it was not predicted yet.
        StoreDamagedError: it cannot be read, or lacks columns.
        StoreMismatchError: it belongs to another state of the store.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: there is no such catalogue; make it first with `starnet-hpc predict CONFIG`")
    try:
        with fits.open(path) as file:
            header = {key: str(value) for key, value in file[1].header.items() if isinstance(value, str)}
            # Plain columns: as an astropy Table, every column in dex would be warned of (no FITS standard unit).
            found = {name: np.array(file[1].data[name]) for name in file[1].columns.names}
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise _damaged(path, str(error)) from None
    missing = [name for name in ("id", "flags", "n_members") if name not in found]
    labels = ordered(found)
    missing += [f"{name}{part}" for name in labels for part in _PARTS.values() if f"{name}{part}" not in found]
    if missing or not labels:
        raise _damaged(path, f"no column {', '.join(missing or ['of any label'])}")
    for key, store in (("INPUTDIG", of), ("TRAINDIG", training)):
        if store is not None and header.get(key, store.content_digest) != store.content_digest:
            raise _stale(path, f"its {key} is {header[key]}, but {store.path} has the digest {store.content_digest}")
    if found["flags"].size != len(of):
        raise _stale(path, f"it has {found['flags'].size} rows, but {of.path} has {len(of)} spectra")
    return Catalogue(
        path,
        header,
        np.array([_text(value) for value in found["id"]], dtype=object),
        {name: LabelColumns(*(_floats(found[f"{name}{part}"]) for part in _PARTS.values())) for name in labels},
        np.asarray(found["flags"], dtype=np.int64),
        np.asarray(found["n_members"], dtype=np.int64),
        (_floats(found["vrad_ccf"]), _floats(found["vrad_ccf_err"])) if "vrad_ccf" in found else None,
    )


def check_ids(catalogue: Catalogue, ids: Sequence[str], store: Path) -> None:
    """Refuse a catalogue whose rows are not the spectra of a store.

    Raises:
        StoreMismatchError: with the first row that differs.
    """
    # FITS text is ASCII: the catalogue spells other letters out.
    spelt = [name.encode("ascii", "backslashreplace").decode() for name in ids]
    for row, (ours, theirs) in enumerate(zip(catalogue.ids, spelt, strict=True)):
        if ours != theirs:
            raise _stale(catalogue.path, f"its row {row} is {ours!r}, but {store} has {theirs!r} there")


def _stale(path: Path, reason: str) -> StoreMismatchError:
    return StoreMismatchError(
        f"{path} was not predicted from what is in the run directory now: {reason}; "
        f"run `starnet-hpc predict CONFIG` again (after `starnet-hpc ensemble CONFIG`, if the training store is new)"
    )


def _damaged(path: Path, reason: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"{path}: not a catalogue that this program can use ({reason}); "
        f"remove it and run `starnet-hpc predict CONFIG` again"
    )


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _floats(column: Any) -> NDArray[np.float64]:
    return np.asarray(column, dtype=np.float64)  # from FITS' byte order
