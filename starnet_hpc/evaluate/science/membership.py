"""Which stars of a catalogue belong to which cluster."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import MissingInputError, ObservationFormatError

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
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if missing := [name for name in (_ID, _CLUSTER) if name not in (reader.fieldnames or ())]:
                raise ObservationFormatError(
                    f"{path}: has no column {' and no column '.join(missing)}; a table of members has {_ID} and "
                    f"{_CLUSTER} (and any others)"
                )
            for row in reader:
                star, cluster = (str(row[name] or "").strip() for name in (_ID, _CLUSTER))
                if star in cluster_of:
                    raise ObservationFormatError(f"{path}: line {reader.line_num}: {star!r} is there twice")
                if not star or not cluster:
                    raise ObservationFormatError(f"{path}: line {reader.line_num}: lacks {_ID} or {_CLUSTER}")
                cluster_of[star] = cluster
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such table of members (evaluate.clusters.members)") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ObservationFormatError(f"{path}: cannot be read as CSV ({error})") from None
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
