"""Which templates go where."""

from pathlib import Path

import numpy as np

from starnet_hpc.augment.splits import template_parts
from starnet_hpc.stores import open_store
from tests.augment.cases import TEMPLATES, experiment, write_grid


def test_templates_with_the_same_labels_are_never_in_two_splits(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, twins=3)
    grid = open_store(config.store("grid"), made_by="ingest")
    parts = template_parts(config, grid)
    labels = grid.column("labels")
    seen = {name: {tuple(labels[row]) for row in rows} for name, rows in parts.items()}
    assert not seen["train"] & seen["valid"] | seen["train"] & seen["test"] | seen["valid"] & seen["test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(TEMPLATES))
