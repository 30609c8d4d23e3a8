from pathlib import Path

import pytest

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from tests.augment.cases import experiment, write_grid


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """An experiment whose three stores are complete, made in one process without a disturbance; for reading only."""
    config = experiment(tmp_path_factory.mktemp("finished") / "run")
    write_grid(config)
    augment(config)
    return config


@pytest.fixture
def ready(tmp_path: Path) -> ExperimentConfig:
    """An experiment whose `grid.zarr` is there."""
    config = experiment(tmp_path / "run")
    write_grid(config)
    return config
