"""A small instrument, and observed spectra for it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import Instrument, load_instrument
from starnet_hpc.observations import write_eso_sdp
from tests.ingest.cases import INSTRUMENT

_LINES = ((5153.1, 0.5), (5156.4, 0.3), (5160.9, 0.7), (5164.4, 0.2), (5168.0, 0.6))


def experiment(tmp_path: Path, *, run: str = "run", instrument: Any = INSTRUMENT, **sections: Any) -> ExperimentConfig:
    """Return a configuration whose survey is the folder `observed`, unless `survey` says otherwise."""
    survey = sections.pop("survey", {})
    if "manifest" not in survey:
        survey = {"path": str(tmp_path / "observed"), **survey}
    data = {
        "name": "small",
        "run_dir": str(tmp_path / run),
        "instrument": instrument,
        "grid": {"format": "intrigoss", "path": str(tmp_path)},
        "survey": survey,
        "augment": {
            "continuum_segment": 5.0,
            "continuum_knot_spacing": 10.0,
            "dtype": "float32",
            **sections.pop("augment", {}),
        },
        **sections,
    }
    return ExperimentConfig.model_validate(data)


def instrument(config: ExperimentConfig) -> Instrument:
    return load_instrument(config.instrument)


def star(wavelength: NDArray[np.float64], *, snr: float = 100.0, seed: int = 1) -> NDArray[np.float64]:
    """Return counts [n] of a star with a sloping continuum, lines and noise."""
    flux = np.ones_like(wavelength)
    for centre, depth in _LINES:
        flux -= depth * np.exp(-0.5 * ((wavelength - centre) / 0.11) ** 2)
    flux *= 2e4 * (1.0 + 0.01 * (wavelength - 5160.0))
    return flux + np.random.default_rng(seed).normal(0.0, 2e4 / snr, wavelength.size)


def write_stars(folder: Path, count: int, wavelength: NDArray[np.float64] | None = None, **header: Any) -> list[Path]:
    """Write ESO spectra of stars that differ in their noise, on 0.02 A pixels that cover the instrument."""
    folder.mkdir(parents=True, exist_ok=True)
    if wavelength is None:
        wavelength = 5145.0 + 0.02 * np.arange(1600)
    paths = []
    for k in range(count):
        path = folder / f"star{k:02d}.fits"
        write_eso_sdp(path, wavelength, star(wavelength, seed=k), **{"snr": 90.0, **header})
        paths.append(path)
    return paths
