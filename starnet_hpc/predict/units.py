"""One unit of work: the labels that some members give to some rows of a store."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc.networks import Combined, Member, Moments, combined, correlations, merge, moments
from starnet_hpc.stores import read_arrays, write_arrays

NO_VELOCITY: NDArray[np.float64] = np.empty((0, 2))
"""Velocities of a unit that was not shifted to rest."""
NO_LEFTOVERS: NDArray[np.float64] = np.empty((0, 3))
"""Leftovers of a unit that was not compared with reconstructions."""


@dataclass(frozen=True)
class UnitTable:
    """The prediction of one unit, as it is kept until the catalogue is joined, or of all units together."""

    mean: NDArray[np.float64]
    """[rows, labels], physical units; NaN where the spectrum could not be used."""
    aleatoric: NDArray[np.float64]
    """[rows, labels]."""
    epistemic: NDArray[np.float64]
    """[rows, labels]."""
    correlation: NDArray[np.float64]
    """Of the members' answers for each two labels [rows, pairs], in the order of `label_pairs`."""
    distance: NDArray[np.float64]
    """Of the last hidden layer from training spectra: mean over the members of `FeatureSpace.distance` [rows]; NaN
    where the spectrum could not be used, or not all members know it."""
    members: NDArray[np.float32]
    """Mean of each member [members, rows, labels]; no members where they are not kept."""
    velocity: NDArray[np.float64]
    """Velocity by cross-correlation and its error [rows, 2], km/s; no rows where the networks alone measure it."""
    leftovers: NDArray[np.float64]
    """What reconstructions leave, as `Reconstruction.leftovers` [rows, 3]; no rows where there are none."""

    @property
    def combined(self) -> Combined:
        """The ensemble's prediction."""
        return Combined(self.mean, self.aleatoric, self.epistemic)


def member_moments(
    members: Sequence[Member],
    total_members: int,
    flux: NDArray[np.floating],
    tellurics: NDArray[np.bool_],
    *,
    batch_size: int,
    device: str,
) -> Moments:
    """Return moments [total_members, rows, labels + 1, 4] of some members for continuum-normalised flux [rows, pixels].

    After the labels come the distances of the last hidden layer. Slots of other members stay empty, and so do distances
    of members that do not know them. Batches begin with the unit, so that the same rows always go through together.
    """
    rows, labels = flux.shape[0], len(members[0].trained_on.label_names)
    slots = np.zeros((total_members, rows, labels + 1, 4))
    clean = np.where(np.isfinite(flux) & ~tellurics, flux, 0)
    broken = ~np.isfinite(flux).all(axis=1)
    for begin in range(0, rows, batch_size):
        part = slice(begin, min(begin + batch_size, rows))
        batch = torch.from_numpy(clean[part]).to(device).float()
        with torch.inference_mode():
            for member in members:
                hidden = member.network.hidden(batch)
                found = member.network.head(hidden)
                scaled = member.trained_on.scale.physical(found.mean.cpu().numpy(), found.variance.cpu().numpy())
                slots[member.number, part, :-1] = moments(*scaled)
                if member.features is not None:
                    distance = member.features.distance(hidden).cpu().numpy()
                    slots[member.number, part, -1] = moments(distance, np.zeros_like(distance))
                unusable = broken[part] | ~member.sees(batch).cpu().numpy()
                slots[member.number, part][unusable, :, 1:] = np.nan
    return slots


def fold(slots: Moments, velocity: NDArray[np.float64] = NO_VELOCITY, *, keep_members: bool = False) -> UnitTable:
    """Return what all members say from their moments [members, rows, labels + 1, 4], folded in their order."""
    total = slots[0]
    for member in slots[1:]:
        total = merge(total, member)
    labels, distance = combined(total[:, :-1]), total[:, -1]
    means = slots[:, :, :-1, 1]
    return UnitTable(
        labels.mean,
        labels.aleatoric,
        labels.epistemic,
        correlations(means),
        np.where(distance[:, 0] == slots.shape[0], distance[:, 1], np.nan),
        means[: len(means) if keep_members else 0].astype(np.float32),
        velocity,
        NO_LEFTOVERS,
    )


def unit_path(folder: Path, unit: int) -> Path:
    """Return the file of one unit."""
    return folder / f"unit-{unit:06d}.npz"


def write_unit(path: Path, table: UnitTable, recipe: str) -> None:
    """Write the prediction of one unit, whole or not at all."""
    write_arrays(path, recipe=recipe, **vars(table))


def read_unit(path: Path, recipe: str) -> UnitTable | None:
    """Return the prediction of a unit; None if it is not there, not whole, or of another recipe."""
    saved = read_arrays(path)
    parts = {part.name for part in fields(UnitTable)}
    if saved is None or str(saved.pop("recipe", "")) != recipe or saved.keys() != parts:
        return None
    return UnitTable(**saved)


def joined(tables: Sequence[UnitTable]) -> UnitTable:
    """Return units, at least one, one after the other."""
    parts = {part.name: [getattr(table, part.name) for table in tables] for part in fields(UnitTable)}
    members = np.concatenate(parts.pop("members"), axis=1)
    return UnitTable(**{name: np.concatenate(values) for name, values in parts.items()}, members=members)
