"""Which stars of a catalogue belong to which cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.evaluate.science.csvtable import read_rows

_ID, _CLUSTER = "id", "cluster"


@dataclass(frozen=True)
class Membership:
    """A table of members against a catalogue."""

    cluster: NDArray[np.object_]
    """Name of the cluster of each star of the catalogue [n]; "" for stars in none."""
    listed: dict[str, int]
    """Number of members in the table a cluster, whether they are in the catalogue or not, in the table's order."""


def read_membership(path: Path, ids: Sequence[str]) -> Membership:
    """Return the clusters of stars.

    Args:
        path: CSV with columns `id` and `cluster`; a star is in one cluster only.
        ids: of the catalogue [n]; every spectrum with the id of a member is one.

    Raises:
        MissingInputError: there is no such file.
        ObservationFormatError: it lacks a column, names a star twice, or none of the catalogue's.
    """
    cluster_of: dict[str, str] = {}
    for number, row in read_rows(path, (_ID, _CLUSTER), "table of members (evaluate.clusters.members)"):
        star, cluster = row[_ID], row[_CLUSTER]
        if star in cluster_of:
            raise ObservationFormatError(f"{path}: line {number}: {star!r} is there twice")
        if not star or not cluster:
            raise ObservationFormatError(f"{path}: line {number}: lacks {_ID} or {_CLUSTER}")
        cluster_of[star] = cluster
    found = np.array([cluster_of.get(name, "") for name in ids], dtype=object)
    if not (found != "").any():
        first = next(iter(cluster_of), "")
        raise ObservationFormatError(
            f"{path}: none of its {len(cluster_of)} stars (the first: {first!r}) is in the catalogue (its first: "
            f"{ids[0] if len(ids) else ''!r}); ids must be those of the catalogue"
        )
    listed: dict[str, int] = {}
    for cluster in cluster_of.values():
        listed[cluster] = listed.get(cluster, 0) + 1
    return Membership(found, listed)
