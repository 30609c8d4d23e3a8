"""An ensemble's prediction on CPUs against a plain loop over its members, and both against the machine's limit.

    python -m benchmarks.prediction [--network starnet resnet] [--members 7] [--pixels 39436] [--rows 128] [--turns 5]

Ours is what a rank of `starnet-hpc predict` does with a unit of spectra in memory: float16 fluxes to labels, moments of
all members in float64, telluric windows and missing pixels masked. The plain loop is `for m in members: m(x)` with
torch's own layers and the same weights in float32, and nothing else: spectra are float32 tensors already. Each is a
process of its own, as `predict` tells malloc to keep what is freed; both work on one thread, batches of 64, and take
turns. What counts is CPU time, which other programs disturb little.

The limit is the operations of the networks at the rate of a large float32 product on the same core.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import LABELS, PLAIN, copy_weights, rates
from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import NetworkConfig
from starnet_hpc.networks import Member, TrainedOn, build_network
from starnet_hpc.predict.units import member_moments

BATCH = 64

_work: Callable[[], object]
"""What this process does in its turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=("starnet", "resnet"), default=["starnet", "resnet"])
    parser.add_argument("--members", type=int, default=7)
    parser.add_argument("--pixels", type=int, default=39_436)
    parser.add_argument("--rows", type=int, default=128, help="spectra of a turn (default 128)")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    operations, _ = rates(torch.device("cpu"))
    print(
        f"{options.members} members, {options.pixels} pixels, one thread; products {operations / 1e9:.0f} GFLOP/s; "
        "spectra a second of CPU time\n"
    )
    print("| network | plain loop | ours | ours / plain, by turns | limit by operations | share |")
    print("|---|---|---|---|---|---|")
    for kind in options.network:
        times: dict[str, list[float]] = {name: [] for name in WORKS}
        with ExitStack() as stack:
            processes = {
                name: stack.enter_context(
                    ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), get_ready, (name, kind, options))
                )
                for name in WORKS
            }
            for turn in range(options.turns + 1):
                for name, process in processes.items():
                    took = process.submit(take_turn).result()
                    if turn:  # the first one allocates and compiles
                        times[name].append(took)
        twin = PLAIN[kind](options.pixels)
        limit = operations / (options.members * forward_operations(twin, options.pixels))
        rate = {name: options.rows / statistics.median(values) for name, values in times.items()}
        ratios = [a / b for a, b in zip(times["plain"], times["ours"], strict=True)]
        print(
            f"| {kind} | {rate['plain']:.1f} | {rate['ours']:.1f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {limit:.0f} | {100 * rate['ours'] / limit:.0f} % |",
            flush=True,
        )


def get_ready(name: str, kind: str, options: argparse.Namespace) -> None:
    """Prepare this process for its turns."""
    global _work
    torch.set_num_threads(1)
    members, twins = ensemble(kind, options.members, options.pixels)
    flux = np.random.default_rng(1).normal(1.0, 0.05, (options.rows, options.pixels)).astype(np.float16)
    _work = WORKS[name](members, twins, flux)


def ours(members: list[Member], twins: list[nn.Module], flux: NDArray[np.float16]) -> Callable[[], object]:
    keep_freed_memory()
    tellurics = np.zeros(flux.shape[1], dtype=bool)
    return partial(member_moments, members, len(members), flux, tellurics, batch_size=BATCH, device="cpu")


def plain(members: list[Member], twins: list[nn.Module], flux: NDArray[np.float16]) -> Callable[[], object]:
    spectra = torch.from_numpy(flux).float()

    def loop() -> object:
        with torch.inference_mode():
            return [[twin(batch) for twin in twins] for batch in spectra.split(BATCH)]

    return loop


WORKS = {"plain": plain, "ours": ours}


def take_turn() -> float:
    """Return the CPU time of all spectra [s]."""
    start = time.process_time()
    _work()
    return time.process_time() - start


def ensemble(kind: str, count: int, pixels: int) -> tuple[list[Member], list[nn.Module]]:
    """Return members, and torch's own layers with their weights; both say the same of some spectra."""
    made_up = TrainedOn(
        label_names=["teff", "logg", "feh", "afe", "vsini", "vrad"][:LABELS],
        label_mean=[0.0] * LABELS,
        label_std=[1.0] * LABELS,
        label_min=[-1.0] * LABELS,
        label_max=[1.0] * LABELS,
        pixels=pixels,
        wavelength_digest="",
        train_digest="",
        snr_min=0.0,
    )
    members, twins = [], []
    spectra = torch.normal(1.0, 0.05, (4, pixels), generator=torch.Generator().manual_seed(1))
    for number in range(count):
        torch.manual_seed(number)
        network = build_network(NetworkConfig(kind=kind), pixels, LABELS).eval()
        twin = PLAIN[kind](pixels).eval()
        copy_weights(network, twin)
        with torch.inference_mode():
            torch.testing.assert_close(network(spectra).mean, twin(spectra)[:, :LABELS], rtol=1e-4, atol=1e-5)
        members.append(Member(number, network, made_up, ""))
        twins.append(twin)
    return members, twins


def forward_operations(network: nn.Module, pixels: int) -> float:
    """Return the floating-point operations of one spectrum's way through a network."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.ones(1, pixels))
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main()
