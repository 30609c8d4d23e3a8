"""A small grid for a small instrument."""

from pathlib import Path
from typing import Any

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.grids import write_intrigoss
from tests.grids.templates import template

INSTRUMENT: dict[str, Any] = {
    "name": "small",
    "arms": [{"start": 5150.0, "step": 0.03, "count": 700}],
    "resolution": 20_000,
}
NODES = [(teff, logg) for teff in (4500.0, 5000.0, 5500.0, 6000.0) for logg in (3.0, 4.0, 5.0)]


def write_grid(folder: Path, **changes: float) -> list[Path]:
    """Write the nodes of a small grid; `changes` go to the templates."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_intrigoss(folder, template(teff=teff, logg=logg, **changes)) for teff, logg in NODES]


def experiment(tmp_path: Path, *, run: str = "run", **sections: Any) -> ExperimentConfig:
    """Return a configuration for the small instrument; `grid` entries are added to path and format."""
    grid = {"format": "intrigoss", "path": str(tmp_path / "grid"), **sections.pop("grid", {})}
    data = {"name": "small", "run_dir": str(tmp_path / run), "instrument": INSTRUMENT, "grid": grid, **sections}
    return ExperimentConfig.model_validate(data)
