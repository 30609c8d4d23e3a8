"""How far `ingest` is from the time that merely reading the files takes.

    python benchmarks/ingest.py [--format intrigoss] [--files 500] [--workers 1 2]

Writes files of a format, in the size that the archive has them, to a temporary folder, reads them all once with astropy
(or, if they are text, NumPy), then ingests them. Ingest reads every file twice (first to check it, then to write it),
interpolates it and writes it; of long files it reads the part that the instrument needs. The files are in the page
cache all the while, so that no disk hides what the code costs. Processor time is given beside the clock's, since other
programs on the machine lengthen only the latter; of more than one worker it is not known.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.grids import TemplateSpectrum, write_intrigoss
from starnet_hpc.grids.fitsfile import identity
from starnet_hpc.ingest import ingest

RNG = np.random.default_rng(1)


def write_intrigoss_files(folder: Path, count: int) -> None:
    wavelength = 4830.0 + 0.02 * np.arange(28_501)
    for k in range(count):
        labels = {"teff": 4000.0 + k, "logg": 4.0, "feh": 0.0, "afe": 0.0}
        flux = RNG.uniform(1e6, 2e6, wavelength.size).astype(np.float32)
        write_intrigoss(folder, TemplateSpectrum(wavelength, flux, labels, ""))


def write_phoenix_files(folder: Path, count: int) -> None:
    wavelength = 3000.0 * np.exp(np.arange(1_060_000) / 500_000)
    fits.PrimaryHDU(wavelength).writeto(folder / "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits")
    for k in range(count):
        hdu = fits.PrimaryHDU(RNG.uniform(1e14, 2e14, wavelength.size).astype(np.float32))
        hdu.header.update(PHXTEFF=4000.0 + k, PHXLOGG=4.0, PHXM_H=0.0, PHXALPHA=0.0)
        hdu.writeto(folder / f"lte{4000 + k:05d}-4.00-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits")


def write_ambre_files(folder: Path, count: int) -> None:
    wavelength = 3000.0 + 0.01 * np.arange(900_001)
    normalised = RNG.uniform(0.5, 1.0, wavelength.size)
    first = folder / "first"
    np.savetxt(first, np.c_[wavelength, normalised, 1e6 * normalised], fmt="%11.4f %9.6f %14.6e")
    for k in range(count):  # the same numbers: only the time to read them counts
        (folder / f"p{4000 + k}:g+4.0:m0.0:t01:z+0.00:a+0.00.AMBRE").write_bytes(first.read_bytes())
    first.unlink()


def write_ferre_file(folder: Path, count: int) -> None:
    pixels = 57_001
    with (folder / "f_benchmark.dat").open("w") as file:
        file.write(
            f" &SYNTH\n N_OF_DIM = 3\n N_P = 1 {count} 1\n NPIX = {pixels}\n LABEL(1) = 'METALS'\n LABEL(2) = 'TEFF'\n"
            f" LABEL(3) = 'LOGG'\n LLIMITS = 0 4000 4\n STEPS = 1 1 1\n WAVE = 4830 0.01\n LOGW = 0\n VACUUM = 0\n /\n"
        )
        for _ in range(count):
            file.write(" ".join(f"{value:.5e}" for value in RNG.uniform(1e6, 2e6, pixels)) + "\n")


def read_with_astropy(path: Path) -> None:
    with fits.open(path, memmap=False) as hdus:
        [str(hdus[0].header[key]) for key in list(hdus[0].header)[:10]]
        for values in [hdus[0].data] if len(hdus) == 1 else [hdus[1].data[name] for name in hdus[1].columns.names]:
            np.asarray(values, dtype=np.float64)


def read_with_numpy(path: Path) -> None:
    np.loadtxt(path, skiprows=13 if path.suffix == ".dat" else 0)


FORMATS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], None], int]] = {
    "intrigoss": (write_intrigoss_files, read_with_astropy, 500),
    "phoenix": (write_phoenix_files, read_with_astropy, 100),
    "ambre": (write_ambre_files, read_with_numpy, 20),
    "ferre": (write_ferre_file, read_with_numpy, 200),
}
"""How to write, how to read plainly, and how many spectra take some seconds."""


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def read_all(folder: Path, read: Callable[[Path], None]) -> None:
    for path in sorted(folder.iterdir()):
        read(path)


def ingest_with(grid_format: str, folder: Path, run: Path, workers: int) -> None:
    config = ExperimentConfig.model_validate(
        {
            "name": "benchmark",
            "run_dir": str(run),
            "grid": {"format": grid_format, "path": str(folder)},
            "augment": {"workers": workers},
        }
    )
    ingest(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="intrigoss")
    parser.add_argument("--files", type=int, help="templates; by default what takes some seconds")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    logging.disable()
    write, read, usual = FORMATS[options.format]
    count = options.files or usual
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "grid"
        folder.mkdir()
        write(folder, count)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        ingest_with(options.format, folder, Path(scratch) / "warm", 1)  # compiles the kernels
        reading, busy = min(timed(lambda: read_all(folder, read)) for _ in range(3))
        print(
            f"{count} templates, {size:.0f} MB, read with astropy or NumPy: {reading:.2f} s, "
            f"{1e3 * reading / count:.2f} ms each; processor {busy:.2f} s, {size / busy:.0f} MB/s"
        )
        _, named = min(timed(lambda: read_all(folder, identity)) for _ in range(3))
        print(f"what the recipe needs of each file: processor {named:.3f} s, {named / busy:.3f} x reading")
        for workers in options.workers:
            run = Path(scratch) / f"run{workers}"
            took, used = timed(lambda run=run, n=workers: ingest_with(options.format, folder, run, n))
            ratio = f"; processor {used:.2f} s, {used / busy:.2f} x reading" if workers == 1 else ""
            print(
                f"ingest with {workers} workers: {took:.2f} s, {1e3 * took / count:.2f} ms each, "
                f"{took / reading:.2f} x reading{ratio}"
            )


if __name__ == "__main__":
    main()
