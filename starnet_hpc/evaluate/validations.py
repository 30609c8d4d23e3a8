"""What `train` and `predict` found out on validation spectra: scores of each member and of all together, diversity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.stores import read_json

Scores = Mapping[str, Mapping[str, Any]]
"""Scores of each label, as `docs/training.md` lists them."""
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Validations:
    """As far as the files are there."""

    scores: Mapping[str, Scores] = field(default_factory=dict)
    """Of each member by its number, then of the ensemble."""
    diversity: Mapping[str, Any] | None = None


def read_validations(config: ExperimentConfig, members: str | None) -> Validations:
    """Return what is there.

    Args:
        config: of the run.
        members: digest of the members whose catalogues are reported; scores of another ensemble are left aside.

    Raises:
        StoreDamagedError: a file is no report of this kind.
    """
    scores: dict[str, Scores] = {}
    for member in range(config.ensemble.members):
        if found := _read(config.member_dir(member) / "validation.json"):
            scores[str(member)] = found["labels"]
    ensemble = _read(config.run_dir / "predictions" / "validation.json")
    if ensemble is None or members not in {None, ensemble.get("members")} or not ensemble["labels"]:
        return Validations(scores)
    return Validations({**scores, ENSEMBLE: ensemble["labels"]}, ensemble["diversity"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
        if isinstance(found["labels"], dict):
            return dict(found)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreDamagedError(
        f"{path}: no report on validation spectra that this program can use; remove it, and train or predict again"
    )
