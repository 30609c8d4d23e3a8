"""The columns of the catalogue, which has one row a spectrum."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.labels import LABELS
from starnet_hpc.networks import label_pairs

_ONLY_WHERE = {"augment": {"workers", "scheduler"}, "predict": {"ranks_per_shard"}}
"""Keys of sections of the configuration that say where and by how many something is done."""
_PARTS = (
    ("", "ensemble mean"),
    ("_err", "standard deviation, calibrated on validation spectra"),
    ("_err_raw", "as claimed: aleatoric and epistemic in quadrature"),
    ("_aleatoric", "standard deviation that the members claim"),
    ("_epistemic", "standard deviation between the members"),
)


@dataclass(frozen=True)
class Column:
    """One column of the catalogue."""

    name: str
    values: NDArray[np.generic]
    unit: str
    """As astropy understands it; "" is none."""
    description: str


def catalogue_columns(
    identifiers: NDArray[np.str_],
    label_names: tuple[str, ...],
    parts: tuple[NDArray[np.float64], ...],
    distance: NDArray[np.float64],
    flags: NDArray[np.int32],
    n_members: int,
    correlation: NDArray[np.float64] | None = None,
    further: Sequence[Column] = (),
) -> list[Column]:
    """Return the columns of a catalogue.

    Args:
        identifiers: [rows], unique.
        label_names: [labels].
        parts: mean; calibrated, claimed, aleatoric and epistemic standard deviation; each [rows, labels], physical
            units.
        distance: of the last hidden layer from training spectra [rows].
        flags: [rows].
        n_members: size of the ensemble.
        correlation: of the members' answers for each two labels [rows, pairs]; None: no such columns.
        further: columns that follow those of the labels.
    """
    columns = [Column("id", identifiers, "", "identifier of the spectrum")]
    for k, name in enumerate(label_names):
        label = LABELS[name]
        columns += [
            Column(f"{name}{suffix}", values[:, k], label.unit, f"{label.description}: {meaning}")
            for (suffix, meaning), values in zip(_PARTS, parts, strict=True)
        ]
    columns += further
    if correlation is not None:
        names = [(label_names[a], label_names[b]) for a, b in label_pairs(len(label_names))]
        columns += [
            Column(f"{a}_{b}_corr", values, "", f"correlation of {a} and {b} between the members, -1 to 1")
            for (a, b), values in zip(names, correlation.T, strict=True)
        ]
    columns.append(Column("feature_distance", distance, "", "from training spectra, as networks see them; theirs: 1"))
    columns.append(Column("flags", flags, "", "bits, see the header; 0: nothing to remark"))
    count = np.where(np.isfinite(parts[0]).all(axis=1), n_members, 0).astype(np.int16)
    columns.append(Column("n_members", count, "", "networks behind the prediction"))
    return columns


def as_text(identifiers: Iterable[object]) -> NDArray[np.str_]:
    """Return identifiers [rows], as wide as the longest is in ASCII: so any part of them is as wide as all."""
    texts = [str(identifier) for identifier in identifiers]
    width = max((len(ascii_of(text)) for text in texts), default=0)
    return np.array(texts, dtype=f"U{max(1, width)}")


def ascii_of(text: str) -> bytes:
    """Return text as FITS can hold it: in ASCII, other letters spelt out."""
    return text.encode("ascii", "backslashreplace")


def settings(config: ExperimentConfig) -> str:
    """Return the configuration as JSON, but for where things lie and run, which changes nothing in a catalogue."""
    told = config.model_dump(mode="json", exclude={"run_dir", "evaluate", "cluster"})
    for section, names in _ONLY_WHERE.items():
        told[section] = {name: value for name, value in told[section].items() if name not in names}
    # FITS doubles a quote, and long text is cut at any place.
    return json.dumps(told).replace("'", r"\u0027")
