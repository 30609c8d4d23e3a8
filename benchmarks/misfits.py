"""Which spectra the catalogue's doubts catch: held-out ones as they are, and spoilt in ways that surveys know.

    python -m benchmarks.misfits CONFIG [--other STORE.zarr] [--spectra 300]

CONFIG is of a run whose test spectra have been predicted with `predict.reconstruction: true`. Each line: the share of
spectra that carry POOR_FIT and UNLIKE_TRAINING, by the run's own limits (-: it has none), in bins of S/N. `--other` is
the `test.zarr` of another grid's run with the same instrument.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.instruments import load_instrument
from starnet_hpc.networks import load_member
from starnet_hpc.predict.flagging import known_before
from starnet_hpc.predict.limits import read_limits
from starnet_hpc.predict.places import best_file, limits_file
from starnet_hpc.predict.reconstruction import wanted_reconstruction
from starnet_hpc.predict.units import fold, member_moments
from starnet_hpc.stores import open_store

BINS = ((0.0, 30.0), (30.0, 80.0), (80.0, np.inf))

Spectra = tuple[NDArray[np.float32], NDArray[np.float64]]
"""Fluxes [n, pixels] and the S/N that goes with them [n]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--other", type=Path, help="test.zarr of another grid")
    parser.add_argument("--spectra", type=int, default=300, help="in each bin of S/N (default 300)")
    options = parser.parse_args()
    config = load_config(options.config, ["predict.reconstruction=true"])
    print(f"{'spectra':32s}" + "".join(f"  S/N {low:g}-{high:g}: POOR_FIT, UNLIKE [%]" for low, high in BINS))
    judge = Judge(config)
    rows: dict[str, list[str]] = {}
    for low, high in BINS:
        test = chosen(config.store("test"), low, high, options.spectra)
        for name, spectra in spoilt(*test):
            rows.setdefault(name, []).append(judge(*spectra))
        if options.other:
            rows.setdefault("another grid", []).append(judge(*chosen(options.other, low, high, options.spectra)))
    for name, cells in rows.items():
        print(f"{name:32s}" + "".join(f"{cell:>34s}" for cell in cells))


def chosen(path: Path, low: float, high: float, count: int) -> Spectra:
    """Return the first spectra of a store in a bin of S/N."""
    store = open_store(path, made_by="augment")
    _, snr = known_before(store)
    rows = np.flatnonzero((snr > low) & (snr <= high))[:count]
    return store.read(0, len(store))[rows].astype(np.float32), snr[rows]


def spoilt(flux: NDArray[np.float32], snr: NDArray[np.float64]) -> Iterator[tuple[str, Spectra]]:
    """Yield spectra and what was done to them."""
    random = np.random.default_rng(1)
    pixels = flux.shape[1]
    partner = np.roll(flux, 1, axis=0)
    order = np.zeros(pixels, dtype=bool)
    order[pixels // 2 : pixels // 2 + pixels // 10] = True
    yield "held out", (flux, snr)
    yield "with 5 % of the pixels masked", (np.where(random.random(flux.shape) < 0.05, np.float32(0), flux), snr)
    yield "with another star, 50 to 50", (0.5 * (flux + partner), snr * np.sqrt(2.0))
    yield "with another star, 80 to 20", (0.8 * flux + 0.2 * partner, snr / np.hypot(0.8, 0.2))
    yield "with another star, 90 to 10", (0.9 * flux + 0.1 * partner, snr / np.hypot(0.9, 0.1))
    yield "lines turned into emission", ((2.0 - flux).astype(np.float32), snr)
    yield "a tenth of the range 15 % lower", (np.where(order, np.float32(0.85) * flux, flux), snr)
    yield "continuum 10 % too high", (flux / np.float32(1.1), snr)
    yield "continuum tilted by 5 %", (flux * np.linspace(0.95, 1.05, pixels, dtype=np.float32), snr)
    noise = random.normal(0.0, 1.0, flux.shape).astype(np.float32) / snr[:, None].astype(np.float32)
    yield "noise 1.4 times what is said", (flux + noise, snr)
    yield (
        "of a sixth of the resolution",
        (gaussian_filter1d(flux, 15.0, axis=1), snr * np.sqrt(15.0 * 2 * np.sqrt(np.pi))),
    )


class Judge:
    """The members of a run, with its limits."""

    def __init__(self, config: ExperimentConfig) -> None:
        torch.set_num_threads(1)
        self.members = [load_member(best_file(config, m), "cpu") for m in range(config.ensemble.members)]
        self.trained_on = self.members[0].trained_on
        self.reconstruction = wanted_reconstruction(config, self.trained_on)
        self.tellurics = load_instrument(config.instrument).tellurics()
        self.limits = read_limits(limits_file(config), len(self.trained_on.label_names))

    def __call__(self, flux: NDArray[np.float32], snr: NDArray[np.float64]) -> str:
        """Return the shares of spectra that carry the two flags, per cent."""
        assert self.reconstruction is not None
        found = fold(member_moments(self.members, len(self.members), flux, self.tellurics, batch_size=64, device="cpu"))
        left = self.reconstruction.leftovers(flux, found.mean, self.trained_on.label_names)
        poor = self.limits.usual.misfit(left, snr) > self.limits.usual.limit
        unlike = f"{100 * (found.distance > self.limits.distance).mean():.1f}" if self.limits.distance > 0.0 else "-"
        return f"{100 * poor.mean():.1f}, {unlike}"


if __name__ == "__main__":
    main()
