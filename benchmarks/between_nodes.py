"""How far spectra between nodes (`augment.between_nodes: linear`) are from real syntheses with the same labels.

    python -m benchmarks.between_nodes --synthesiser FOLDER [--templates reference.npz] [--count 60]

FOLDER holds a module `lte` with `synth(teff, logg, feh, afe, vmicro)`, which returns wavelength [angstrom, air], flux
and continuum. Cells and points in them are drawn as the stage does: among 72 % of a grid's nodes, since the others are
held out. One grid is a file with sampled labels (`wl`, `par`, `norm`, `cont`); the others are lattices, of which only
the corners that are needed are synthesised. Both spectra are turned into what FLAMES-UVES would see (R = 47,000,
vsini 5 km/s, no noise) and lose their continuum as in the stage. Errors are over the median flux.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from starnet_hpc.augment.between import node_cells
from starnet_hpc.augment.draws import draw
from starnet_hpc.config import AugmentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.kernels.blend import blend
from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.labels import GRID_LABELS

Array = NDArray[Any]
Synthesis = Callable[..., tuple[Array, Array, Array]]

SEED = 1
SNR = 100.0
TRAINED = 0.72
"""Share of the nodes that are trained on: 80 % of them are no test, 90 % of those no validation."""
VMICRO = 1.5
LATTICES = {
    "lattice 250 K, 0.5, 0.25, 0.1": (250.0, 0.5, 0.25, 0.1),
    "lattice 250 K, 0.5, 0.5, 0.2": (250.0, 0.5, 0.5, 0.2),
    "lattice 500 K, 1.0, 0.5, 0.25": (500.0, 1.0, 0.5, 0.25),
}
LOW = np.array([4250.0, 1.0, -2.5, -0.25])
HIGH = np.array([6750.0, 5.0, 0.5, 0.5])


@dataclass(frozen=True)
class Grid:
    """Nodes, and what to synthesise or read at them."""

    labels: Array
    """[nodes, 4]."""
    vmicro: Array
    """[nodes], km/s."""
    flux: Callable[[int], Array]
    """Native samples of a node's spectrum."""


class Observer:
    """What the instrument and the stage make of native samples."""

    def __init__(self, native: Array) -> None:
        instrument = load_instrument("uves_4835_5395")
        low, high = instrument.template_range(vrad_max=0.0, vsini_max=5.0)
        count = int(np.ceil(np.log(high / low) / (np.diff(native) / native[:-1]).min())) + 1
        grid = low * np.exp(np.arange(count) * (np.log(high / low) / (count - 1)))
        self.template = CubicSpline(native, grid)
        self._forward = ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms)
        self._continuum = SegmentContinuum(instrument.wavelength, instrument.strong_lines())

    def normalised(self, template: Array) -> Array:
        flux = self._forward.observe(template.astype(np.float32), vsini=5.0, epsilon=0.6, vrad=0.0)
        return flux / self._continuum.fit(flux)


def sampled(path: Path) -> Grid:
    with np.load(path) as data:
        native, par, depth, cont = (data[name] for name in ("wl", "par", "norm", "cont"))

    def flux(node: int) -> Array:
        return depth[node] / 65535.0 * np.interp(native, native[::50], cont[node])

    return Grid(par[:, :4].astype(float), par[:, 4].astype(float), flux)


def lattice(steps: tuple[float, ...], synth: Synthesis) -> Grid:
    axes = [np.arange(low, high + step / 2, step) for low, high, step in zip(LOW, HIGH, steps, strict=True)]
    labels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(steps))
    return Grid(labels, np.full(len(labels), VMICRO), cache(lambda node: synth(*labels[node], VMICRO)[1]))


def comparisons(
    grid: Grid, observer: Observer, synth: Synthesis, count: int, reach: float
) -> Iterator[dict[str, Array]]:
    """Yield the errors [pixels] of each way to have a spectrum, for points between nodes."""
    config = AugmentConfig(between_nodes="linear", between_nodes_reach=reach)
    trained = np.sort(np.random.default_rng(SEED).permutation(len(grid.labels))[: round(TRAINED * len(grid.labels))])
    draws = draw(SEED, "train", trained, 2 * count, config)
    draws = node_cells(SEED, trained, grid.labels[trained], GRID_LABELS, config).spread(SEED, draws)
    labels = draws.average(np.column_stack([grid.labels, grid.vmicro]))
    done = 0
    for row in range(2 * count):
        nodes, weights = zip(*draws.mixture(row), strict=True)
        try:
            truth = observer.normalised(observer.template(synth(*labels[row])[1]))
            corners = [observer.template(grid.flux(node)).astype(np.float32) for node in nodes]
        except ValueError:  # there are no model atmospheres for such a star
            continue
        if not np.isfinite(truth).all() or not all(np.isfinite(corner).all() for corner in corners):
            continue
        mixed = {
            "flux over its mean (ours)": blend(corners, weights),
            "flux": np.tensordot(weights, corners, 1),
            "ln flux": np.exp(np.tensordot(weights, np.log(np.maximum(corners, 1e-3)), 1)),
            "nearest node": corners[0],
        }
        yield {name: np.abs(observer.normalised(one) - truth) / np.median(truth) for name, one in mixed.items()}
        done += 1
        if done == count:
            return


def table(title: str, errors: list[dict[str, Array]]) -> None:
    print(f"\n{title}: {len(errors)} spectra")
    print(f"  {'':26} {'largest: median, 90 %':>24} {'rms: median, 90 %':>22} {'median pixel':>14}")
    for name in errors[0]:
        found = np.array([[one[name].max(), np.sqrt(np.mean(one[name] ** 2)), np.median(one[name])] for one in errors])
        middle, high = np.percentile(found, [50, 90], axis=0)
        print(
            f"  {name:26} {middle[0]:14.1e} {high[0]:9.1e} {middle[1]:12.1e} {high[1]:9.1e} {middle[2]:14.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthesiser", type=Path, required=True, help="folder with lte.py")
    parser.add_argument("--templates", type=Path, help=".npz with wl, par, norm and cont: a grid with sampled labels")
    parser.add_argument("--count", type=int, default=60, help="spectra a grid (default 60)")
    parser.add_argument("--reach", type=float, default=AugmentConfig().between_nodes_reach)
    options = parser.parse_args()
    sys.path.insert(0, str(options.synthesiser))
    from lte import synth  # type: ignore[import-not-found]

    observer = Observer(np.asarray(synth(5777.0, 4.44, 0.0, 0.0, 1.0)[0], dtype=np.float64))
    grids = {f"sampled, {options.templates.name}": sampled(options.templates)} if options.templates else {}
    grids |= {title: lattice(steps, synth) for title, steps in LATTICES.items()}
    for title, grid in grids.items():
        table(title, list(comparisons(grid, observer, synth, options.count, options.reach)))
    pixels = load_instrument("uves_4835_5395").wavelength.size
    peak, middle = norm.isf(0.5 / pixels) / SNR, norm.isf(0.25) / SNR
    print(f"\nnoise of S/N {SNR:g}: {peak:.1e} largest of {pixels}, {1 / SNR:.1e} rms, {middle:.1e} median pixel")


if __name__ == "__main__":
    main()
