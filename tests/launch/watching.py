"""A small run with members, and spectra that its instrument can have seen, for the tests of `watch`."""

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.instruments import load_instrument
from starnet_hpc.observations import write_eso_sdp
from tests import support


def ready_to_watch(tmp_path: Path, *, valid: int = 0, **sections: Any) -> ExperimentConfig:
    """Return an experiment with members and an empty folder `observed`."""
    (tmp_path / "observed").mkdir()
    survey = {"path": str(tmp_path / "observed"), **sections.pop("survey", {})}
    # One spectrum at a time, as `watch` does it: then everything is the same to the last bit.
    predict = {"batch_size": 1, **sections.pop("predict", {})}
    augment = {"continuum": "none", "dtype": "float32"}
    config = support.ready_to_predict(
        tmp_path / "run", survey=16, valid=valid, predict=predict, augment={**augment, **sections.pop("augment", {})}
    )
    found = support.experiment(config.run_dir, predict=predict, augment=augment, survey=survey, **sections)
    (tmp_path / "config.yaml").write_text(resolved_yaml(found), encoding="utf-8")
    return found


def write_star(path: Path, config: ExperimentConfig, *, key: int = 1, snr: float = 90.0) -> Path:
    """Write an ESO spectrum that covers the instrument with a margin."""
    pixels = load_instrument(config.instrument).wavelength
    step = pixels[1] - pixels[0]
    wavelength = np.arange(pixels[0] - 20 * step, pixels[-1] + 20 * step, step)
    labels = support.drawn_labels(1, key)
    noise = np.random.default_rng(key).standard_normal(wavelength.size) / snr
    write_eso_sdp(path, wavelength, support.line_spectra(labels, wavelength)[0] + noise, snr=snr)
    return path


def start_watch(config: ExperimentConfig, *words: str) -> subprocess.Popen[str]:
    """Start the command on the folder `observed`, looking ten times a second."""
    tmp_path = config.run_dir.parent
    return support.start(
        "-m", "starnet_hpc", "watch", tmp_path / "observed", tmp_path / "config.yaml", "--interval", "0.1", *words
    )


def rows(config: ExperimentConfig) -> Table:
    """Return the catalogue as astropy reads it."""
    return Table.read(config.run_dir / "watch_catalogue.ecsv", format="ascii.ecsv")


def whole_lines(config: ExperimentConfig) -> list[str]:
    """Return the rows that are in the catalogue file now, as text; none while there is no file."""
    try:
        text = (config.run_dir / "watch_catalogue.ecsv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = [line for line in text.splitlines(keepends=True) if line.endswith("\n") and not re.match("# |id,", line)]
    return [line.rstrip("\n") for line in found]
