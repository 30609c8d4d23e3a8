"""One unit of work: the labels that some members give to some rows of a store."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc.networks import Combined, Member, Moments, combined, merge, moments
from starnet_hpc.stores import Store, write_atomically


@dataclass(frozen=True)
class UnitTable:
    """The prediction of one unit, as it is kept until the catalogue is joined."""

    mean: NDArray[np.float64]
    """[rows, labels], physical units; NaN where the spectrum could not be used."""
    aleatoric: NDArray[np.float64]
    """[rows, labels]."""
    epistemic: NDArray[np.float64]
    """[rows, labels]."""
    members: NDArray[np.float32]
    """Mean of each member [members, rows, labels]; no members where they are not kept."""


def member_moments(
    members: Sequence[Member],
    total_members: int,
    flux: NDArray[np.floating],
    tellurics: NDArray[np.bool_],
    *,
    batch_size: int,
    device: str,
) -> Moments:
    """Return the moments [total_members, rows, labels, 4] of some members for continuum-normalised flux [rows, pixels].

    Slots of other members stay empty. Batches begin with the unit, so that the same rows always go through together.
    """
    rows, labels = flux.shape[0], len(members[0].trained_on.label_names)
    slots = np.zeros((total_members, rows, labels, 4))
    clean = np.where(np.isfinite(flux) & ~tellurics, flux, 0)
    broken = ~np.isfinite(flux).all(axis=1)
    for begin in range(0, rows, batch_size):
        part = slice(begin, min(begin + batch_size, rows))
        batch = torch.from_numpy(clean[part]).to(device).float()
        with torch.inference_mode():
            for member in members:
                found = member.network(batch)
                scaled = member.trained_on.scale.physical(found.mean.cpu().numpy(), found.variance.cpu().numpy())
                slots[member.number, part] = moments(*scaled)
                unusable = broken[part] | ~member.sees(batch).cpu().numpy()
                slots[member.number, part][unusable, :, 1:] = np.nan
    return slots


def fold(slots: Moments) -> Combined:
    """Return the ensemble's prediction from all members' moments [members, rows, labels, 4], folded in their order."""
    total = slots[0]
    for member in slots[1:]:
        total = merge(total, member)
    return combined(total)


def unit_path(folder: Path, unit: int) -> Path:
    """Return the file of one unit."""
    return folder / f"unit-{unit:06d}.npz"


def write_unit(path: Path, prediction: Combined, recipe: str, members: NDArray[np.floating[Any]] | None = None) -> None:
    """Write the prediction of one unit, whole or not at all; with the members' means, in half of their digits."""
    buffer = io.BytesIO()
    kept = np.empty((0, *prediction.mean.shape)) if members is None else members
    np.savez(
        buffer,
        mean=prediction.mean,
        aleatoric=prediction.aleatoric,
        epistemic=prediction.epistemic,
        members=kept.astype(np.float32),
        recipe=np.array(recipe),
    )
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def read_unit(path: Path, recipe: str) -> UnitTable | None:
    """Return the prediction of a unit; None if it is not there, not whole, or of another recipe."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            if str(saved["recipe"]) != recipe:
                return None
            return UnitTable(saved["mean"], saved["aleatoric"], saved["epistemic"], saved["members"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def unit_rows(store: Store, unit: int, unit_size: int) -> range:
    """Return the rows of a unit."""
    return range(unit * unit_size, min((unit + 1) * unit_size, len(store)))
