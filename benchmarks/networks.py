"""What networks and recipes reach at equal cost: `python -m benchmarks.networks RUN_DIR --trial first --trial default`.

RUN_DIR has train.zarr, valid.zarr and test.zarr. A trial trains one member on one thread with the package's own masks,
loss, optimiser and one-cycle schedule. Its cost is counted in steps of a yardstick, `first`, the network and the batch
that the project began with: before training, steps of the yardstick and of the trial are timed in turn, and the trial
gets as many as take the CPU time of `--steps` of the yardstick's. So a busy machine changes how long a trial takes, and
not how it compares. Residuals are medians over the test store.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.network_variants import Variant
from starnet_hpc.config import NetworkConfig, TrainConfig
from starnet_hpc.networks import Gaussian, LabelScale, build_network, negative_log_likelihood
from starnet_hpc.stores import open_store
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.optimisation import make_optimizer, one_cycle

ZEROED = 0.10
TIMED = 7


@dataclass(frozen=True)
class Trial:
    """A network and a recipe."""

    what: str
    network: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    packaged: bool = False
    """Whether `network` is a section of the configuration; else switches of `Variant`."""

    def build(self, pixels: int, labels: int, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        if self.packaged:
            return build_network(NetworkConfig.model_validate(self.network), pixels, labels)
        return Variant(pixels, labels, **self.network)

    @property
    def config(self) -> TrainConfig:
        return TrainConfig.model_validate(self.train)


FIRST = {"learning_rate": 2e-3, "batch_size": 64, "weight_decay": 0.01}
SHORT = {"block": "transition"}
EIGHT = SHORT | {"stem": (32, 16, 8), "channels": (32, 64, 64, 128)}
SIXTEEN = SHORT | {"stem": (64, 32, 16), "channels": (64, 96, 128)}

TRIALS = {
    "default": Trial("the package's default network and recipe", packaged=True),
    "starnet": Trial("the paper's", {"kind": "starnet"}, {"optimizer": "adam", "learning_rate": 7e-4}, packaged=True),
    "first": Trial("the first network", {}, FIRST),
    "trans": Trial("transition stages", SHORT, FIRST),
    "eight": Trial("stem stride 8", EIGHT, FIRST),
    "sixteen": Trial("stem stride 16", SIXTEEN, FIRST),
    "eight-k3": Trial("kernel 3", EIGHT | {"kernel": 3}, FIRST),
    "eight-k7": Trial("kernel 7", EIGHT | {"kernel": 7}, FIRST),
    "eight-stem24": Trial("stem 24 long", EIGHT | {"stem": (32, 24, 8)}, FIRST),
    "eight-wide": Trial("64 64 128 128", EIGHT | {"channels": (64, 64, 128, 128)}, FIRST),
    "eight-sq48": Trial("squeeze 48", EIGHT | {"squeeze": 48}, FIRST),
    "eight-pool": Trial("pooled", EIGHT | {"head": "pool", "squeeze": 128}, FIRST),
    "eight-none": Trial("no norm", EIGHT | {"norm": "none"}, FIRST),
    "eight-none-silu": Trial("no norm, SiLU", EIGHT | {"norm": "none", "act": "silu"}, FIRST),
    "eight-lr4": Trial("rate 4e-3", EIGHT, FIRST | {"learning_rate": 4e-3}),
    "eight-beta": Trial("beta 0.5", EIGHT, FIRST | {"beta_nll": 0.5}),
    "eight-b32": Trial("batch 32", EIGHT, FIRST | {"batch_size": 32}),
    "slim-b32": Trial("32 48 64 96, batch 32", EIGHT | {"channels": (32, 48, 64, 96)}, FIRST | {"batch_size": 32}),
}


@dataclass
class Data:
    """The rows of a store, in memory."""

    flux: Tensor
    labels: Tensor
    physical: NDArray[np.float64]
    snr: NDArray[np.float64]

    def __len__(self) -> int:
        return self.flux.shape[0]

    @classmethod
    def read(cls, path: Path, scale: LabelScale) -> "Data":
        store = open_store(path, made_by="augment")
        labels = store.column("labels")
        flux = torch.from_numpy(store.read(0, len(store)))
        return cls(flux, torch.from_numpy(scale.standardised(labels)), labels, store.column("draws/snr"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--trial", action="append", choices=sorted(TRIALS), required=True, metavar="NAME")
    parser.add_argument("--steps", type=int, default=1000, help="of the yardstick, 64 spectra each")
    parser.add_argument("--seed", type=int, default=1, help="of the start, the order and the masks")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(chosen.run_dir / "train.zarr", made_by="augment")
    scale = LabelScale(*(np.array(store.attributes[name]) for name in ("label_mean", "label_std")))
    train, valid, test = (Data.read(chosen.run_dir / f"{name}.zarr", scale) for name in ("train", "valid", "test"))
    names = ", ".join(store.label_names)
    print(f"| trial | k par. | MFLOP | ms | epochs | NLL valid (train) | S/N 30-80: {names} | S/N > 30 | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in chosen.trial:
        trial = TRIALS[name]
        print(
            f"| {name}: {trial.what} | {_run(trial, chosen.steps, chosen.seed, train, valid, test, scale)} |",
            flush=True,
        )


def _run(trial: Trial, yardsticks: int, seed: int, train: Data, valid: Data, test: Data, scale: LabelScale) -> str:
    """Train, and return the cells of a row of the table."""
    network = trial.build(train.flux.shape[1], train.labels.shape[1], seed)
    own, yardstick = _seconds_a_spectrum(trial, train)
    batch = trial.config.batch_size
    steps = round(yardsticks * FIRST["batch_size"] * yardstick / (own * batch))
    began = time.process_time()
    last = _train(network, trial, train, steps, seed)
    spent = time.process_time() - began
    loss = negative_log_likelihood(_predict(network, valid), valid.labels).item()
    mean, _ = scale.physical(*(part.numpy() for part in _predict(network, test)))
    residuals = np.abs(mean - test.physical)
    low, high = (test.snr > 30) & (test.snr <= 80), test.snr > 30
    parameters = sum(p.numel() for p in network.parameters()) / 1e3
    cells = [
        f"{parameters:.0f}", f"{_mflop(network, train):.0f}", f"{1e3 * own:.2f} ({yardstick / own:.2f}x)",
        f"{steps * batch / len(train):.1f}", f"{loss:.3f} ({last:.3f})",
        _medians(residuals[low]), _medians(residuals[high]), f"{spent:.0f}",
    ]  # fmt: skip
    return " | ".join(cells)


def _seconds_a_spectrum(trial: Trial, data: Data) -> tuple[float, float]:
    """Return the CPU time of a training step over its spectra, of the trial and of the yardstick: the least of some."""
    steppers = [_stepper(t.build(data.flux.shape[1], data.labels.shape[1], 1), t) for t in (trial, TRIALS["first"])]
    sizes = [trial.config.batch_size, TRIALS["first"].config.batch_size]
    least = [np.inf, np.inf]
    for _ in range(TIMED):
        for k, (step, size) in enumerate(zip(steppers, sizes, strict=True)):
            # As many spectra of one as of the other.
            count = max(sizes) // size
            began = time.process_time()
            for _ in range(count):
                step(data.flux[:size].float(), data.labels[:size], 1e-5)
            least[k] = min(least[k], (time.process_time() - began) / (size * count))
    return least[0], least[1]


def _stepper(network: nn.Module, trial: Trial) -> Any:
    config = trial.config
    optimizer = make_optimizer(network, config)

    def step(flux: Tensor, labels: Tensor, rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = negative_log_likelihood(network(flux), labels, config.beta_nll)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_gradient or np.inf)
        optimizer.step()
        return loss.item()

    return step


def _train(network: nn.Module, trial: Trial, data: Data, steps: int, seed: int) -> float:
    """Train, and return the mean loss of the last tenth of the steps."""
    mask = PixelMask(seed, 0, torch.zeros(data.flux.shape[1], dtype=torch.bool), ZEROED)
    step, losses, config = _stepper(network.train(), trial), [], trial.config
    for number, (rows, epoch) in enumerate(_batches(len(data), config.batch_size, steps, seed)):
        flux = mask.train(data.flux[rows].float(), rows, epoch)
        losses.append(step(flux, data.labels[rows], one_cycle(number, steps, config.learning_rate)))
    return float(np.mean(losses[-max(1, steps // 10) :]))


def _batches(rows: int, size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, int]]:
    generator, left, epoch = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64), -1
    for _ in range(steps):
        if left.numel() < size:
            left, epoch = torch.randperm(rows, generator=generator), epoch + 1
        yield left[:size], epoch
        left = left[size:]


@torch.no_grad()
def _predict(network: nn.Module, data: Data) -> Gaussian:
    parts = [network.eval()(data.flux[low : low + 64].float()) for low in range(0, len(data), 64)]
    return Gaussian(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _medians(residuals: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.0f}" if value > 10 else f"{value:.3f}" for value in np.median(residuals, axis=0))


def _mflop(network: nn.Module, data: Data) -> float:
    """Return the floating-point operations of a spectrum's way forward, in millions."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(data.flux[:1].float())
    return counter.get_total_flops() / 1e6


if __name__ == "__main__":
    main()
