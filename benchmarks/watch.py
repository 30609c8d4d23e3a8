"""How long a spectrum takes from its arrival to its line: `python -m benchmarks.watch`.

Makes a run of members that nobody trained (they take as long as trained ones), starts `starnet-hpc watch`, and renames
ESO files with made-up lines into its folder, one after the other. The wait for two looks that saw the same file is part
of the time, and is what to compare with: between one and two intervals.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.instruments import load_instrument
from starnet_hpc.interrupts import StopRequest
from starnet_hpc.launch.rundir import claim
from starnet_hpc.launch.watch import opened_watcher
from starnet_hpc.networks import TrainedOn, build_network, save_dict
from starnet_hpc.observations import write_eso_sdp
from starnet_hpc.predict import load_ensemble, members_there
from starnet_hpc.progress import stage_log

LABELS = ["teff", "logg", "feh", "afe", "vsini", "vrad"]
CENTRE, WIDTH = [5500.0, 3.0, -0.5, 0.1, 20.0, 0.0], [900.0, 1.2, 0.7, 0.15, 15.0, 60.0]
LINES = 400
INTERVAL_S = 0.5
"""Between two looks of the command."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instrument", default="uves_4835_5395")
    parser.add_argument("--network", default="resnet", choices=["resnet", "starnet"])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--spectra", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _run(folder, chosen.instrument, chosen.network, chosen.members)
        wavelength = _pixels(config)
        command = [sys.executable, "-m", "starnet_hpc", "watch", folder / "observed", folder / "config.yaml"]
        command += ["--interval", str(INTERVAL_S)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seconds = []
            for number in range(-1, chosen.spectra):
                _write(folder / "aside.fits", wavelength, key=number + 1)
                if number >= 0:  # in no step with the looks
                    time.sleep(INTERVAL_S * ((number * 0.618) % 1))
                arrived = time.monotonic()
                (folder / "aside.fits").rename(folder / "observed" / f"star{number:03d}.fits")
                process.stdout.readline()
                seconds.append(time.monotonic() - arrived)
            process.terminate()
        processor = _processor_time(config, folder)
        started, times = seconds[0], np.array(seconds[1:])  # the first one lay there when the command began
        print(f"{wavelength.size} pixels, {chosen.members} members ({chosen.network}); looks every {INTERVAL_S} s")
        print(f"from the command to the first line: {started:.1f} s")
        print(f"a spectrum's processor time, from reading to the row on the disk: {processor:.3f} s")
        print("| s from arrival to line | median | longest | over the wait for two looks (1.5 intervals), median |")
        print("|---|---|---|---|")
        print(
            f"| {times.size} spectra | {np.median(times):.2f} | {times.max():.2f} | "
            f"{np.median(times) / (1.5 * INTERVAL_S):.2f} |"
        )


def _run(folder: Path, instrument: str, network: str, members: int) -> ExperimentConfig:
    """Return an experiment with members, and write its configuration beside it."""
    config = ExperimentConfig.model_validate(
        {
            "name": "watched",
            "run_dir": str(folder / "run"),
            "grid": {"format": "intrigoss", "path": str(folder)},
            "instrument": instrument,
            "network": {"kind": network},
            "ensemble": {"members": members},
            "survey": {"path": str(folder / "observed"), "format": "eso"},
        }
    )
    claim(config)
    (folder / "observed").mkdir()
    (folder / "config.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    pixels = load_instrument(config.instrument).wavelength
    centre, width = np.array(CENTRE), np.array(WIDTH)
    known = TrainedOn(
        label_names=LABELS,
        label_mean=CENTRE,
        label_std=WIDTH,
        label_min=(centre - 2 * width).tolist(),
        label_max=(centre + 2 * width).tolist(),
        pixels=pixels.size,
        wavelength_digest=provenance.digest_array(pixels),
        train_digest="",
        snr_min=10.0,
    )
    for member in range(members):
        torch.manual_seed(member)
        saved = save_dict(
            build_network(config.network, pixels.size, len(LABELS)), config.network, known, member, f"member {member}"
        )
        path = config.member_dir(member) / "best.pt"
        path.parent.mkdir(parents=True)
        torch.save(saved, path)
    return config


def _processor_time(config: ExperimentConfig, folder: Path) -> float:
    """Return the time [s] of all threads a spectrum, which other programs disturb less; the median over the folder."""
    survey, stop, seconds = config.survey, StopRequest(), []
    assert survey is not None
    with stage_log("watch", config.run_dir, quiet=True) as log:
        ensemble = load_ensemble(config, members_there(config), log)
        with (
            contextlib.redirect_stdout(io.StringIO()),
            opened_watcher(
                config, survey, folder / "observed", folder / "again.ecsv", ensemble, log, patience_s=1.0
            ) as watcher,
        ):
            watcher.look(0.0, until=0.0, stop=stop)
            while watcher.arrivals.waiting:
                begin = time.process_time()
                watcher.look(0.5, until=0.0, stop=stop)
                seconds.append(time.process_time() - begin)
    return float(np.median(seconds))


def _pixels(config: ExperimentConfig) -> NDArray[np.float64]:
    """Return the pixels of a pipeline that samples a little finer than the instrument, and covers more."""
    pixels = load_instrument(config.instrument).wavelength
    return np.arange(pixels[0] - 8.0, pixels[-1] + 8.0, 0.9 * float(np.diff(pixels).min()))


def _write(path: Path, wavelength: NDArray[np.float64], *, key: int) -> None:
    """Write a spectrum with lines and noise."""
    generator = np.random.default_rng(key)
    flux = np.ones_like(wavelength)
    for centre in generator.uniform(wavelength[0], wavelength[-1], LINES):
        part = slice(*np.searchsorted(wavelength, [centre - 1.0, centre + 1.0]))
        flux[part] -= generator.uniform(0, 0.6) * np.exp(-0.5 * ((wavelength[part] - centre) / 0.08) ** 2)
    flux = 3e4 * flux * (1.0 + 1e-4 * (wavelength - wavelength[0])) * generator.normal(1.0, 0.01, wavelength.size)
    write_eso_sdp(path, wavelength, flux, error=np.full(wavelength.size, 300.0))


if __name__ == "__main__":
    main()
