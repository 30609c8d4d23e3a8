"""A training step of ours against a plain PyTorch loop with the same network, and both against the machine's limits.

    python -m benchmarks.training [--network starnet resnet] [--pixels 39436] [--batch 64] [--threads 2] [--turns 7]
                                  [--device cuda]

Ours is what `starnet-hpc train` does with spectra in memory: float16 rows gathered into a batch, pixels zeroed by key,
the network, the loss, clipping, fused Adam. The plain loop is what anybody would write first: float32 rows in one
tensor, `torch.rand` for the zeroed pixels, torch's own layers, the same loss, `torch.optim.Adam`. Both begin with the
same weights, and their first predictions are compared. They take turns, so that what else the machine does hits both.

The limits: the step's operations (counted by torch in the plain network) at the rate of a large float32 product, and
the bytes that weights, gradients and Adam's moments make it move at the rate of a large copy, both measured in the same
run. No step can be faster than the larger one.
"""

import argparse
import statistics
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.input import measured
from starnet_hpc.config import NetworkConfig, TrainConfig
from starnet_hpc.networks import build_network
from starnet_hpc.train.clock import clock_of
from starnet_hpc.train.data import Batch
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.ranks import Ranks
from starnet_hpc.train.step import Stepper

ROWS, LABELS, ZEROED = 1024, 6, 0.1
STEPS = {"cpu": 1, "cuda": 32}
"""Of a turn: a GPU that is asked for each step's outcome idles, and the trainer does not ask."""
PASSES = 11
"""A step's passes over as many bytes as the weights have: they are read forward and backward, their gradient is written
and read for its norm and by Adam, which reads and writes two moments and the weights. Activations are not counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=("starnet", "resnet"), default=["starnet", "resnet"])
    parser.add_argument("--pixels", type=int, default=39_436)
    parser.add_argument("--batch", type=int, default=64, help="spectra a step (default 64)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7, help="how often each takes a step (default 7)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu (default) or cuda")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    operations, copied = rates(options.device)
    print(
        f"{options.device}, {options.threads} threads: products {operations / 1e9:.0f} GFLOP/s, "
        f"copies {copied / 1e9:.1f} GB/s; {options.pixels} pixels, batches of {options.batch}\n"
    )
    print("| network | plain, s (CPU) | ours, s (CPU) | plain / ours, by turns | operations, s | bytes, s | share |")
    print("|---|---|---|---|---|---|---|")
    for kind in options.network:
        torch.manual_seed(1)
        network = build_network(NetworkConfig(kind=kind), options.pixels, LABELS).to(options.device)
        twin = PLAIN[kind](options.pixels).to(options.device)
        copy_weights(network, twin)
        compare(network, twin, options.pixels)
        flops = step_operations(twin, options.pixels, options.batch)
        size = 4 * sum(weight.numel() for weight in network.parameters())
        works = {
            "plain": plain_loop(twin, options.pixels, options.batch, options.device),
            "ours": ours(network, options.pixels, options.batch, options.device),
        }
        walls: dict[str, list[float]] = {name: [] for name in works}
        cpus: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(options.turns + 1):
            for name, work in works.items():
                wall, cpu = measured(several, work, turn, options.device)
                if turn:  # the first one allocates and compiles
                    walls[name].append(wall / STEPS[options.device.type])
                    cpus[name].append(cpu / STEPS[options.device.type])
        ratios = [a / b for a, b in zip(walls["plain"], walls["ours"], strict=True)]
        cells = [f"{statistics.median(walls[name]):.3f} ({statistics.median(cpus[name]):.3f})" for name in works]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        bounds = flops / operations, PASSES * size / copied
        cells += [f"{bound:.3f}" for bound in bounds]
        cells.append(f"{100 * max(bounds) / statistics.median(walls['ours']):.0f} %")
        print(f"| {kind}, {size / 4e6:.1f} M weights | {' | '.join(cells)} |", flush=True)


def several(work: Callable[[int], None], turn: int, device: torch.device) -> None:
    """Take the steps of a turn, and wait for their end."""
    steps = STEPS[device.type]
    for step in range(turn * steps, (turn + 1) * steps):
        work(step)
    wait(device)


# --- ours -------------------------------------------------------------------------------------------------------------


def ours(network: nn.Module, pixels: int, batch: int, device: torch.device) -> Callable[[int], None]:
    """Return what takes one step of the trainer."""
    ranks = Ranks(0, 1, 1, torch.get_num_threads(), device)
    mask = PixelMask(1, 0, torch.zeros(pixels, dtype=torch.bool, device=device), ZEROED)
    stepper = Stepper(network, TrainConfig(batch_size=batch), ranks, mask, clock_of(ranks.device))
    flux, labels = (part.to(device) for part in spectra(pixels))
    room = torch.empty((batch, pixels), dtype=flux.dtype, device=device)
    order = np.random.default_rng(1).permutation(ROWS)
    stepper.begin()

    def take(turn: int) -> None:
        rows = torch.from_numpy(np.take(order, range(turn * batch, (turn + 1) * batch), mode="wrap")).to(device)
        torch.index_select(flux, 0, rows, out=room)
        stepper.take(Batch(room, labels[rows], rows), turn, 1e-4, 0)
        if (turn + 1) % stepper.look_every == 0:
            for taken in stepper.look():
                assert taken.fault is None, taken.fault

    return take


# --- the plain loop ---------------------------------------------------------------------------------------------------


def plain_loop(network: nn.Module, pixels: int, batch: int, device: torch.device) -> Callable[[int], None]:
    """Return what takes one step of a loop as anybody would write it."""
    stored, labels = (part.to(device) for part in spectra(pixels))
    flux = stored.float()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    network.train()

    def take(turn: int) -> None:
        rows = torch.randperm(ROWS, device=device)[:batch]
        x = flux[rows]
        share = ZEROED * torch.rand(batch, 1, device=device)
        x = torch.where(torch.rand(x.shape, device=device) < share, 0.0, x)
        mean, raw = network(x).chunk(2, dim=1)
        variance = softplus(raw) + 1e-6
        loss = 0.5 * (torch.log(variance) + (labels[rows] - mean) ** 2 / variance).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        assert device.type == "cuda" or np.isfinite(loss.item())

    return take


class PlainStarNet(nn.Sequential):
    """The paper's network."""

    def __init__(self, pixels: int) -> None:
        super().__init__(
            nn.Unflatten(1, (1, pixels)),
            nn.Conv1d(1, 4, 8), nn.ReLU(), nn.Conv1d(4, 16, 8), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(),
            nn.Linear(16 * ((pixels - 14) // 4), 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, 2 * LABELS),
        )  # fmt: skip


class PlainResNet(nn.Module):
    """The default network, with torch's order of memory."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        widths, length = [32, *NetworkConfig().channels], pixels // 8 + 1
        self.stem = nn.Conv1d(1, 32, 16, stride=8, padding=8, bias=False)
        self.stages = nn.ModuleList()
        for a, b in pairwise(widths):
            halve = nn.Sequential(nn.BatchNorm1d(a), nn.ReLU(), nn.Conv1d(a, b, 5, stride=2, padding=2, bias=False))
            refine = nn.Sequential(nn.BatchNorm1d(b), nn.ReLU(), nn.Conv1d(b, b, 5, padding=2, bias=False))
            self.stages += [halve, refine]
            length = -(-length // 2)
        last, dense = widths[-1], NetworkConfig().dense
        self.end = nn.Sequential(
            nn.BatchNorm1d(last), nn.ReLU(), nn.Conv1d(last, 16, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(16 * length, dense), nn.ReLU(), nn.Linear(dense, 2 * LABELS),
        )  # fmt: skip

    def forward(self, flux: Tensor) -> Tensor:
        x = self.stem(torch.where(flux == 0, flux, flux - 1)[:, None])
        for halve, refine in zip(self.stages[::2], self.stages[1::2], strict=True):
            x = halve(x)
            x = x + refine(x)
        end: Tensor = self.end(x)
        return end


PLAIN: dict[str, Callable[[int], nn.Module]] = {"starnet": PlainStarNet, "resnet": PlainResNet}


def copy_weights(network: nn.Module, twin: nn.Module) -> None:
    """Give the twin the network's weights; both have them in the same order."""
    with torch.no_grad():
        for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
            theirs.copy_(ours)


def compare(network: nn.Module, twin: nn.Module, pixels: int) -> None:
    """Make sure that both are the same function."""
    flux = spectra(pixels)[0][:4].to(next(network.parameters()).device).float()
    network.eval()
    twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(flux).mean, twin(flux).chunk(2, dim=1)[0], rtol=1e-4, atol=1e-5)


# --- limits, data, clock ----------------------------------------------------------------------------------------------


def step_operations(network: nn.Module, pixels: int, batch: int) -> float:
    """Return the floating-point operations of a step: forward, and the gradients of weights and activations."""
    counter = FlopCounterMode(display=False)
    with counter:
        torch.autograd.backward(network(torch.ones(2, pixels, device=next(network.parameters()).device)).sum())
    network.zero_grad()
    return float(counter.get_total_flops()) / 2 * batch


def rates(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[float, float]:
    """Return the operations a second of a large matrix product, and the bytes a second that a copy reads and writes."""
    large = 8192 if device.type == "cuda" else 2048
    a, b = (torch.rand(large, large, device=device).to(dtype) for _ in range(2))
    x, y = torch.ones(1 << 26, device=device), torch.empty(1 << 26, device=device)
    product, copy = (
        min(measured(lambda turn, work=work: (work(), wait(device)), turn)[0] for turn in range(5))
        for work in (lambda: a @ b, lambda: y.copy_(x))
    )
    return 2.0 * large**3 / product, 2.0 * x.nbytes / copy


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spectra(pixels: int) -> tuple[Tensor, Tensor]:
    """Return made-up spectra [rows, pixels] as stores keep them, and labels."""
    flux = torch.normal(1.0, 0.05, (ROWS, pixels), generator=torch.Generator().manual_seed(1))
    return flux.half(), torch.randn((ROWS, LABELS), generator=torch.Generator().manual_seed(2))


if __name__ == "__main__":
    main()
