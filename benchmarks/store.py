"""A store from templates to disk, as `augment` builds it with two workers, against its kernels alone on the same cores.

    python -m benchmarks.store [--templates reference.npz] [--spectra 20000] [--turns 3] [--folder DIRECTORY]

Kernels alone are two processes that make spectra of 39,436 pixels in float16 from templates in memory, at once, so that
each has a core and its share of caches and memory. What half their time would be for all spectra is the time that two
cores need at least. They run before and after each command, and the mean of both counts. The command is the real one,
`python -m starnet_hpc.augment CONFIG`; the time from when it begins to make spectra is what its log says. On a machine
that does other things, too, `cores busy` falls below 1.9 or so: then such a turn says little.

Templates come from an .npz as for `benchmarks.augment`: all of them, not only some. With 200,000 spectra the folder
needs 16 GB.
"""

import argparse
import multiprocessing
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from benchmarks.augment import NATIVE, Draw, Kernels, made_up_templates, read_templates
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.ingest.stage import ln_uniform
from starnet_hpc.instruments import C_KMS, load_instrument
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.launch.plan import make_plan
from starnet_hpc.launch.rundir import claim
from starnet_hpc.parallel.conditions import worker_environment
from starnet_hpc.stores import Layout, building, footprint, write_shard
from starnet_hpc.stores.markers import marker_folder

WORKERS = 2
SPLITS = ("train", "valid", "test")
INSTRUMENT = "uves_4835_5395"
KERNEL_S = 3.0
"""For so long the kernels run alone, each time."""
READY_S = 120.0
GRID_ROWS = 64

_ready: Barrier
"""Where the processes that run kernels wait for each other."""


@dataclass
class Turn:
    """What one build took, and what was measured beside it."""

    kernel: float
    """Of a spectrum, both cores busy [s]."""
    build: float
    """From when the stage begins to make spectra to when all are on the disk [s]."""
    command: float
    """From the start of Python to its end [s]."""
    worker_cpu: float
    """Of all workers [s]."""
    largest: int
    """Resident memory of the largest process [bytes]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=Path, help=".npz with wl and norm; made up by default")
    parser.add_argument("--spectra", type=int, default=20_000, help="of all three stores (default 20000)")
    parser.add_argument("--turns", type=int, default=3, help="how often all is done (default 3)")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = experiment(Path(folder) / "run", options.spectra)
        write_grid(config, options.templates)
        kernels_alone(options.templates, 0.0)  # compiles them
        forecast = sum(store.bytes for store in make_plan(config, Path(folder)).stores if store.name in SPLITS)
        turns = [take_turn(config, options.templates) for _ in range(options.turns)]
        written = sum(footprint(config.store(split)).bytes for split in SPLITS)
    least = [turn.kernel * options.spectra / WORKERS for turn in turns]
    print(f"\n{options.spectra} spectra of 39,436 pixels in float16, {WORKERS} workers on {WORKERS} cores\n")
    print("| kernels, ms a spectrum | all on two cores, s | build, s | ratio | command, s | ratio | cores busy |")
    print("|---|---|---|---|---|---|---|")
    for turn, bound in zip(turns, least, strict=True):
        print(
            f"| {1e3 * turn.kernel:.3f} | {bound:.2f} | {turn.build:.2f} | {turn.build / bound:.2f} "
            f"| {turn.command:.2f} | {turn.command / bound:.2f} | {turn.worker_cpu / turn.build:.2f} |"
        )
    builds = [turn.build / bound for turn, bound in zip(turns, least, strict=True)]
    print(f"\nMedian ratio of building to the kernels' time on two cores: {median(builds):.2f}.")
    print(f"Largest process: {max(turn.largest for turn in turns) / 1e9:.2f} GB.")
    print(f"Bytes: {written}, {100 * (written / forecast - 1):+.3f} % of what `starnet-hpc plan` forecasts.")


def experiment(run_dir: Path, spectra: int) -> ExperimentConfig:
    """Return the paper's instrument and ranges, nine in ten spectra for training."""
    aside = spectra // 20
    return ExperimentConfig.model_validate(
        {
            "name": "store",
            "run_dir": str(run_dir),
            "grid": {"format": "intrigoss", "path": str(run_dir)},
            "instrument": INSTRUMENT,
            "augment": {
                "n_train": spectra - 2 * aside,
                "n_valid": aside,
                "n_test": aside,
                "vsini_max": 50,
                "vrad_max": 150,
                "noise_max": 0.07,
                "dtype": "float16",
                "workers": WORKERS,
            },
        }
    )


def write_grid(config: ExperimentConfig, source: Path | None) -> None:
    """Write `grid.zarr` as `ingest` would from files with these templates."""
    claim(config)
    low, high = load_instrument(config.instrument).template_range(
        vrad_max=config.augment.vrad_max, vsini_max=config.augment.vsini_max
    )
    if source:
        with np.load(source) as data:
            native, fluxes, labels = data["wl"].astype(np.float64), data["norm"], data["par"][:, :4]
    else:
        native, fluxes = NATIVE, np.stack(made_up_templates()) * 65535.0
        labels = np.arange(len(fluxes))[:, None] * np.array([40.0, 0.05, 0.03, 0.005])
    wavelength = ln_uniform(low, high, float((np.diff(native) / native[:-1]).min()) * C_KMS)
    spline = CubicSpline(native, wavelength)
    layout = Layout(len(fluxes), wavelength.size, GRID_ROWS, mapped=True)
    with building(
        config.store("grid"),
        recipe={"stage": "ingest"},
        layout=layout,
        wavelength=wavelength,
        columns={"labels": labels, "source": np.array([f"template {k}" for k in range(len(fluxes))])},
        attributes={"label_names": ["teff", "logg", "feh", "afe"], "format": "intrigoss"},
    ) as build:
        for shard in range(layout.shards):
            flux = np.stack([spline(fluxes[row] / 65535.0) for row in layout.rows_of(shard)]).astype(np.float32)
            write_shard(build.path, layout, build.recipe_digest, shard, flux, {})
        build.finalise()


def take_turn(config: ExperimentConfig, templates: Path | None) -> Turn:
    """Build the stores anew, between two looks at the kernels."""
    for split in SPLITS:
        for path in (config.store(split), marker_folder(config.store(split))):
            shutil.rmtree(path, ignore_errors=True)
    for path in [*config.run_dir.glob("*.npz"), *config.run_dir.glob("logs/augment.log")]:
        path.unlink()
    before = kernels_alone(templates, KERNEL_S)
    command, worker_cpu, largest = run(config)
    after = kernels_alone(templates, KERNEL_S)
    log = (config.run_dir / "logs" / "augment.log").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"augment: \d+ spectra in ([\d.]+) s", log)
    print(f"kernels {1e3 * before:.3f}, then {1e3 * after:.3f} ms a spectrum; build {seconds} s", flush=True)
    return Turn((before + after) / 2, float(seconds), command, worker_cpu, largest)


def run(config: ExperimentConfig) -> tuple[float, float, int]:
    """Run the command; return its wall time [s], its workers' CPU time [s], and its largest process [bytes]."""
    start = time.perf_counter()
    command = psutil.Popen([sys.executable, "-m", "starnet_hpc.augment", str(config.run_dir / "config.yaml")])
    cpu: dict[int, float] = {}
    largest = 0
    while command.poll() is None:
        for process in [command, *_children(command)]:
            try:
                times = process.cpu_times()
                largest = max(largest, process.memory_info().rss)
            except psutil.Error:  # it has just ended
                continue
            cpu[process.pid] = times.user + times.system
        time.sleep(0.05)
    took = time.perf_counter() - start
    if command.returncode:
        raise SystemExit(f"augment ended with {command.returncode}")
    del cpu[command.pid]
    return took, sum(sorted(cpu.values())[-WORKERS:]), largest


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


# --- the kernels alone ------------------------------------------------------------------------------------------------


def kernels_alone(templates: Path | None, seconds: float) -> float:
    """Return the wall time of a spectrum [s] in processes that make them at once, one a core."""
    context = multiprocessing.get_context("spawn")
    with (
        worker_environment(),
        ProcessPoolExecutor(WORKERS, context, initializer=meet_at, initargs=(context.Barrier(WORKERS),)) as pool,
    ):
        times = list(pool.map(make_spectra, [templates] * WORKERS, [seconds] * WORKERS))
    return sum(times) / len(times)


def meet_at(barrier: Barrier) -> None:
    global _ready
    _ready = barrier


def make_spectra(source: Path | None, seconds: float) -> float:
    """Make spectra for some time, as soon as all processes are ready; return the wall time of one [s]."""
    native, fluxes = read_templates(source) if source else (NATIVE, made_up_templates())
    kernels = Kernels(native, load_instrument(INSTRUMENT))
    templates = [kernels.spline(flux).astype(np.float32) for flux in fluxes]
    rng = np.random.default_rng(1)
    draws = [Draw(rng) for _ in templates]
    for row, (template, draw) in enumerate(zip(templates, draws, strict=True)):
        kernels.augment(template, draw, row)
    _ready.wait(timeout=READY_S)
    start, made = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or not made:
        kernels.augment(templates[made % len(templates)], draws[made % len(templates)], made)
        made += 1
    return elapsed / made


if __name__ == "__main__":
    main()
