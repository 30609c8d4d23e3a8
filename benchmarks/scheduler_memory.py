"""Memory of the scheduler's process and of the workers, while a large store is made: neither may grow with its size.

    python -m benchmarks.scheduler_memory [--rows 1000000] [--pixels 64] [--shard-rows 512] [--workers 2]
    python -m benchmarks.scheduler_memory --uves --rows 8192      # full-size shards: what one worker needs

Templates are made up. Resident memory is sampled all the time; the table has the largest of each stretch of the run.
"""

import argparse
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.launch.rundir import claim
from starnet_hpc.stores import Layout, building, write_shard

MARKS = (0, 10, 50, 90, 100)
TEMPLATES = 60
MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="spectra of the store (default 1000000)")
    parser.add_argument("--pixels", type=int, default=64, help="of a made-up instrument (default 64)")
    parser.add_argument("--uves", action="store_true", help="the instrument of the paper instead, 39,436 pixels")
    parser.add_argument("--shard-rows", type=int, default=512, help="default 512")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = experiment(options, Path(folder) / "run")
        write_grid(config)
        watch = Watch(config, tasks=-(-options.rows // options.shard_rows) + 2)
        start = time.monotonic()
        watch.start()
        augment(config)
        watch.end()
    print(f"{options.rows} spectra in {watch.tasks} tasks, {options.workers} workers: {time.monotonic() - start:.0f} s")
    print("   share of the run   this process (client, scheduler)   largest worker")
    for low, high in pairwise(MARKS):
        here, there = watch.largest(low, high)
        print(f"   {low:3d} to {high:3d} %     {here / MB:20.0f} MB {there / MB:24.0f} MB")


def experiment(options: argparse.Namespace, run_dir: Path) -> ExperimentConfig:
    arms = [{"start": 5150.0, "step": 0.03, "count": options.pixels}]
    small = {"name": "small", "arms": arms, "resolution": 20_000}
    return ExperimentConfig.model_validate(
        {
            "name": "memory",
            "run_dir": str(run_dir),
            "grid": {"format": "intrigoss", "path": str(run_dir)},
            "instrument": "uves_4835_5395" if options.uves else small,
            "augment": {
                "n_train": options.rows,
                "n_valid": options.shard_rows,
                "n_test": options.shard_rows,
                "shard_rows": options.shard_rows,
                "workers": options.workers,
                "continuum": "clip" if options.uves else "none",
            },
        }
    )


def write_grid(config: ExperimentConfig) -> None:
    """Write a `grid.zarr` with a forest of lines, in steps of 1.1 km/s."""
    claim(config)
    augmented = config.augment
    low, high = load_instrument(config.instrument).template_range(
        vrad_max=augmented.vrad_max, vsini_max=augmented.vsini_max
    )
    wavelength = np.exp(np.linspace(np.log(low), np.log(high), int(np.log(high / low) * 272_538) + 2))
    layout = Layout(TEMPLATES, wavelength.size, shard_rows=64, mapped=True)
    labels = np.arange(TEMPLATES)[:, None] * np.array([40.0, 0.05, 0.03, 0.005]) + np.array([4200.0, 1.0, -1.5, 0.0])
    with building(
        config.store("grid"),
        recipe={"stage": "ingest"},
        layout=layout,
        wavelength=wavelength,
        columns={"labels": labels, "source": np.array([f"made up {k}" for k in range(TEMPLATES)])},
        attributes={"label_names": ["teff", "logg", "feh", "afe"], "format": "intrigoss"},
    ) as build:
        depth = 0.4 * np.abs(np.sin(2.0 * wavelength) * np.sin(11.3 * wavelength))
        flux = (1.0 - depth * np.linspace(0.2, 1.0, TEMPLATES)[:, None]).astype(np.float32)
        write_shard(build.path, layout, build.recipe_digest, 0, flux, {})
        build.finalise()


class Watch:
    """Samples of resident memory over the progress of a run."""

    def __init__(self, config: ExperimentConfig, tasks: int) -> None:
        self.tasks = tasks
        self._folders = [config.run_dir / f"{name}.markers" for name in ("train", "valid", "test")]
        self._samples: list[tuple[float, int, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def largest(self, low: int, high: int) -> tuple[int, int]:
        """Return the largest memory [bytes] of this process and of any worker between two per cents of the run."""
        chosen = [sample for sample in self._samples if low <= sample[0] <= high] or [(0.0, 0, 0)]
        return max(sample[1] for sample in chosen), max(sample[2] for sample in chosen)

    def _sample(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(0.1):
            done = sum(len(list(folder.glob("shard-*.json"))) for folder in self._folders if folder.is_dir())
            workers = [_resident(child) for child in this.children(recursive=True)]
            if done:
                self._samples.append((100 * done / self.tasks, _resident(this), max(workers, default=0)))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0


if __name__ == "__main__":
    main()
