"""The experiments in configs/ are ones that the package accepts."""

from pathlib import Path

import pytest

from starnet_hpc.config import load_config
from starnet_hpc.instruments import load_instrument, select_pixels

REPOSITORY = Path(__file__).resolve().parents[2]
EXPERIMENTS = sorted([*(REPOSITORY / "configs").glob("*.yaml"), *(REPOSITORY / "configs/experiments").glob("*.yaml")])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for name in ("SCRATCH", "STARNET_GRID", "STARNET_OBSERVED"):
        monkeypatch.setenv(name, "/somewhere")
    config = load_config(path)
    assert config.name == path.stem
    instrument = load_instrument(config.instrument)
    assert instrument.wavelength.size > 1000
    assert select_pixels(config.network, instrument).remark(config.augment.vrad_max) is None
