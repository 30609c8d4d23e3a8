"""What feeding a network costs: spectra streamed from the disk, gathered in memory, and masked, beside the plain ways.

    python -m benchmarks.input [--rows 40960] [--folder DIRECTORY] [--threads 2]

A store of made-up spectra of 39,436 pixels in float16 (3.2 GB by default) is written and read back by turns:

- `readinto`: all its files, one after the other, into the same buffer; the rate of the disk, or of the page cache.
- `streamed`: an epoch as training has it with `train.residency: stream`, and nothing else is done with the batches.

`cold` has the files dropped from the page cache first. Then batches of rows that lie in memory (`host`; `device`, the
same without a GPU), and the random pixels of a batch beside one training step of each network.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc.config import NetworkConfig, TrainConfig
from starnet_hpc.networks import LabelScale, build_network, negative_log_likelihood
from starnet_hpc.stores import Layout, Store, building, open_store, page_aligned, write_shard
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.train.data import RankData
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.optimisation import make_optimizer
from starnet_hpc.train.residency import Home

PIXELS, SHARD_ROWS, LABELS, BATCH = 39_436, 512, 6, 64
TURNS = 5
IN_MEMORY = 4096
"""Rows that are kept in memory: 0.3 GB."""
SCALE = LabelScale(np.zeros(LABELS), np.ones(LABELS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_960, help="spectra of the store (default 40960: 3.2 GB)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's folder for such files)")
    parser.add_argument("--threads", type=int, default=2, help="of the network's steps (default 2)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = written(Path(folder) / "train.zarr", options.rows)
        stream(store, device)
        gather(store, device)
    mask(device)


def written(path: Path, rows: int) -> Store:
    layout = Layout(rows, PIXELS, SHARD_ROWS, "float16")
    flux = np.random.default_rng(1).normal(1.0, 0.05, (SHARD_ROWS, PIXELS)).astype(np.float16)
    columns = {"labels": np.zeros((rows, LABELS), dtype=np.float32)}
    wavelength = np.arange(PIXELS, dtype=np.float64)
    with building(path, recipe={}, layout=layout, wavelength=wavelength, columns=columns, attributes={}) as build:
        for shard in range(layout.shards):
            write_shard(path, layout, build.recipe_digest, shard, flux[: len(layout.rows_of(shard))], {})
        build.finalise()
    return open_store(path, made_by="")


def stream(store: Store, device: torch.device) -> None:
    """Print the rates at which the store is read."""
    files = [shard_file(store.path, shard) for shard in range(store.layout.shards)]
    room = page_aligned((SHARD_ROWS, PIXELS), np.float16)
    data = RankData(store, SCALE, range(store.layout.shards), device=device, home="stream")
    ways: dict[str, Callable[[int], None]] = {
        "readinto": lambda turn: read_plainly(files, room),
        "streamed": lambda turn: use(data, turn),
    }
    size = len(store) * PIXELS * 2
    print(f"{len(store)} spectra, {size / 1e9:.1f} GB; MB/s (median of {TURNS}, and range)\n")
    print("| page cache | readinto | streamed | streamed / readinto, turn by turn | CPU s a GB: readinto, streamed |")
    print("|---|---|---|---|---|")
    for name in ("cold", "warm"):
        walls: dict[str, list[float]] = {way: [] for way in ways}
        cpus: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(TURNS):
            for way, work in ways.items():
                if name == "cold":
                    drop(files)
                wall, cpu = measured(work, turn)
                walls[way].append(wall)
                cpus[way].append(cpu)
        rates = {way: [size / 1e6 / wall for wall in found] for way, found in walls.items()}
        ratios = [a / b for a, b in zip(rates["streamed"], rates["readinto"], strict=True)]
        cells = [f"{statistics.median(rate):.0f} ({min(rate):.0f} to {max(rate):.0f})" for rate in rates.values()]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        cells.append(", ".join(f"{1e9 * statistics.median(cpu) / size:.3f}" for cpu in cpus.values()))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def gather(store: Store, device: torch.device) -> None:
    """Print how long batches take whose rows are in memory."""
    shards = range(min(IN_MEMORY // SHARD_ROWS, store.layout.shards))
    homes: list[Home] = ["host", "device"] if device.type == "cuda" else ["host"]
    print(f"\nbatches of {BATCH} spectra from memory, for {device.type}: wall, CPU", flush=True)
    for home in homes:
        data = RankData(store, SCALE, shards, device=device, home=home)
        steps = data.rows.size // BATCH
        found = [measured(use, data, turn) for turn in range(TURNS)]
        wall, cpu = (statistics.median(values) / steps for values in zip(*found, strict=True))
        print(f"  {home}: {1e3 * wall:.2f}, {1e3 * cpu:.2f} ms; {BATCH * PIXELS * 2 / wall / 1e9:.1f} GB/s")


def mask(device: torch.device) -> None:
    """Print how long the random pixels of a batch take, beside whole steps of the networks."""
    mask = PixelMask(1, 0, torch.zeros(PIXELS, dtype=torch.bool, device=device), 0.1)
    stored = torch.ones((BATCH, PIXELS), dtype=torch.float16, device=device)
    flux, rows = stored.float(), torch.arange(BATCH, device=device)
    settle(device)
    threads = torch.get_num_threads()
    print(f"\na batch of {BATCH} spectra of {PIXELS} pixels on {device.type}, {threads} threads: ms wall, CPU")
    works: dict[str, tuple[Callable[[int], Any], int]] = {
        "to float32": (lambda turn: stored.float(), 30),
        "random pixels": (lambda turn: mask.train(flux, rows, turn), 30),
        "step of resnet": (step("resnet", flux, device), 5),
        "step of starnet": (step("starnet", flux, device), 5),
    }

    def whole(work: Callable[[int], Any], turn: int) -> None:
        work(turn)
        settle(device)

    for name, (work, turns) in works.items():
        whole(work, 0)
        found = [measured(whole, work, turn) for turn in range(turns)]
        wall, cpu = (1e3 * statistics.median(values) for values in zip(*found, strict=True))
        print(f"  {name}: {wall:.1f}, {cpu:.1f}")


def step(kind: str, flux: torch.Tensor, device: torch.device) -> Callable[[int], None]:
    network = build_network(NetworkConfig(kind=kind), PIXELS, LABELS).to(device)  # type: ignore[arg-type]
    optimizer = make_optimizer(network, TrainConfig())
    labels = torch.zeros((BATCH, LABELS), device=device)

    def take(turn: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(negative_log_likelihood(network(flux), labels))
        optimizer.step()

    return take


def use(data: RankData, number: int) -> None:
    """Take all batches of an epoch, and wait until they are where they shall be."""
    for batch in data.epoch(1, 0, number, BATCH, data.rows.size // BATCH):
        device = batch.flux.device
    settle(device)


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def read_plainly(files: list[Path], room: NDArray[np.float16]) -> None:
    for file in files:
        with file.open("rb", buffering=0) as opened:
            rest = room.data.cast("B")
            while rest:
                rest = rest[opened.readinto(rest) :]


def drop(files: list[Path]) -> None:
    """Take files out of this machine's page cache, as far as the system follows the advice."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(work: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Return wall and CPU time of all threads [s]."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
