"""`last.pt`: the state of a training run, from which it goes on as if it had never stopped."""

import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.stores import write_atomically


@dataclass
class Progress:
    """Where a training run stands; plain values."""

    epoch: int = 0
    step: int = 0
    """Steps taken in this epoch."""
    loss_sum: float = 0.0
    """Sum of the training losses of this epoch's steps."""
    seconds: float = 0.0
    """Time spent in this epoch before an interruption."""
    phases: dict[str, float] = field(default_factory=dict)
    """The part of it that this process spent in each phase of the steps."""
    norms: list[float] = field(default_factory=list)
    """Gradient norms of this epoch's steps."""
    best_loss: float = float("inf")
    finished: bool = False
    restarts: int = 0
    plateau: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def save(path: Path, digest: str, world: int, progress: Progress, states: dict[str, Any]) -> None:
    """Write a checkpoint: whole, or not at all."""
    saved = {"digest": digest, "world": world, "progress": asdict(progress), **states}
    write_atomically(path, lambda file: torch.save(saved, file))


def load(path: Path, digest: str, world: int) -> tuple[Progress, dict[str, Any]] | None:
    """Return progress and states of an earlier run of the same recipe, None if there is none.

    A file that cannot be read counts as none: it is never the only copy of finished work (that is `best.pt`).

    Raises:
        StoreMismatchError: the checkpoint belongs to another configuration, other data, or another number of processes.
    """
    saved = _read(path, digest)
    if saved is None:
        return None
    progress, ranks = saved.pop("progress"), saved.pop("world")
    if ranks != world and not progress.finished:
        raise StoreMismatchError(
            f"{path} was begun with {ranks} processes and cannot go on with {world}: start it with {ranks}, "
            f"or remove {path.parent} to train this member anew"
        )
    return progress, saved


def is_finished(path: Path, digest: str) -> bool:
    """Return whether a checkpoint of this recipe says that training is over.

    Raises:
        StoreMismatchError: the checkpoint belongs to another configuration or other data.
    """
    saved = _read(path, digest)
    return saved is not None and bool(saved["progress"].finished)


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    try:
        # Mapped: who asks only for the progress does not read the weights.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = saved.pop("digest")
        saved["progress"] = Progress(**saved["progress"])
    except PermissionError:
        raise
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        return None  # not there, or damaged: torch reports some truncated files as OSError
    if found != digest:
        raise StoreMismatchError(
            f"{path} was trained with another configuration or on other spectra: choose another run_dir, "
            f"or remove {path.parent} to train this member anew"
        )
    return saved
