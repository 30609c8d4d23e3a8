"""`history.csv`: a line an epoch, for people, `status`, `evaluate` and TensorBoard."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starnet_hpc.stores import write_atomically
from starnet_hpc.train.clock import PHASES

OTHER = "other"
"""What is no phase of a step: checkpoints inside the epoch, and agreeing with other processes."""
COLUMNS = {
    "epoch": "number of the epoch, from 1",
    "train_loss": "mean loss of its steps",
    "valid_loss": "mean loss of the validation spectra after it",
    "learning_rate": "of its last step",
    "gradient_norm": "median of its steps' gradient norms, before clipping",
    "seconds": "time of its steps [s]; after an interruption, only of those that count",
    "valid_seconds": "time of the validation after it [s]",
    "spectra_per_s": "spectra a second in its steps, all processes together",
    **{f"{phase}_share": f"share of `seconds`: {phase}" for phase in (*PHASES, OTHER)},
    "host_gb": "most memory that a process of this start has held so far [GB], on its machine",
    "gpu_gb": "the same on its GPU, in tensors [GB]; 0 without one",
    "restarts": "how often the training has been taken up again so far",
}
"""Columns of `history.csv` and what they hold; those of shares sum to one."""


@dataclass(frozen=True)
class Usage:
    """What one process spent on the steps of an epoch."""

    seconds: float
    phases: Mapping[str, float]
    """Seconds of each phase."""
    host_gb: float
    gpu_gb: float


def usage_columns(everyone: Sequence[Usage]) -> dict[str, float]:
    """Return the shares of time, mean over the processes, and the memory of the largest one."""
    shares = dict.fromkeys(PHASES, 0.0)
    for usage in everyone:
        # A GPU's clock and the machine's need not agree to the last digit.
        whole = max(usage.seconds, sum(usage.phases.values()), 1e-9)
        for phase in PHASES:
            shares[phase] += usage.phases.get(phase, 0.0) / whole / len(everyone)
    rounded = {f"{phase}_share": round(share, 4) for phase, share in shares.items()}
    return {
        **rounded,
        f"{OTHER}_share": round(1.0 - sum(rounded.values()), 4),
        "host_gb": round(max(usage.host_gb for usage in everyone), 3),
        "gpu_gb": round(max(usage.gpu_gb for usage in everyone), 3),
    }


def median_norm(norms: Sequence[float]) -> float:
    """Return the median of an epoch's gradient norms, NaN if all of them overflowed."""
    return float(f"{statistics.median(norms):.6g}") if norms else math.nan


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write all epochs so far."""
    text = io.StringIO()
    # A training that an earlier version began has epochs without the later columns.
    writer = csv.DictWriter(text, COLUMNS, restval="nan", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
