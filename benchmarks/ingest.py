"""How far `ingest` is from the time that merely reading the files takes.

    python benchmarks/ingest.py [--files 500] [--workers 1 2]

Writes INTRIGOSS-sized files (28,501 samples) to a temporary folder, reads them all once with astropy, then ingests
them. Ingest reads every file twice (first to check it, then to write it), interpolates it and writes it. The files are
in the page cache all the while, so that no disk hides what the code costs.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.grids import TemplateSpectrum, write_intrigoss
from starnet_hpc.ingest import ingest


def write_files(folder: Path, count: int) -> None:
    wavelength = 4830.0 + 0.02 * np.arange(28_501)
    rng = np.random.default_rng(1)
    for k in range(count):
        labels = {"teff": 4000.0 + k, "logg": 4.0, "feh": 0.0, "afe": 0.0}
        flux = rng.uniform(1e6, 2e6, wavelength.size).astype(np.float32)
        write_intrigoss(folder, TemplateSpectrum(wavelength, flux, labels, ""))


def read_with_astropy(folder: Path) -> float:
    start = time.perf_counter()
    for path in sorted(folder.iterdir()):
        with fits.open(path, memmap=False) as hdus:
            [hdus[0].header[key] for key in ("TEFF", "LOG_G", "FEH", "ALPHA")]
            np.asarray(hdus[1].data["wavelength"], dtype=np.float64)
            np.asarray(hdus[1].data["surface_flux"], dtype=np.float64)
    return time.perf_counter() - start


def ingest_with(folder: Path, run: Path, workers: int) -> float:
    config = ExperimentConfig.model_validate(
        {
            "name": "benchmark",
            "run_dir": str(run),
            "grid": {"format": "intrigoss", "path": str(folder)},
            "augment": {"workers": workers},
        }
    )
    start = time.perf_counter()
    ingest(config)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "grid"
        folder.mkdir()
        write_files(folder, options.files)
        ingest_with(folder, Path(scratch) / "warm", 1)  # compiles the kernels
        reading = min(read_with_astropy(folder) for _ in range(3))
        print(f"{options.files} files, read with astropy: {reading:.2f} s, {1e3 * reading / options.files:.2f} ms each")
        for workers in options.workers:
            took = ingest_with(folder, Path(scratch) / f"run{workers}", workers)
            each = 1e3 * took / options.files
            print(f"ingest with {workers} workers: {took:.2f} s, {each:.2f} ms each, {took / reading:.2f} x reading")


if __name__ == "__main__":
    main()
