"""What is drawn for each row of a store: its template and its nuisances, all of them functions of the row's key."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import GridFormatError
from starnet_hpc.kernels.random import permutation, stream, uniforms

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Draws:
    """One row of numbers for each spectrum of a store."""

    template: NDArray[np.int32]
    """Row of `grid.zarr` [n]."""
    vsini: NDArray[np.float32]
    """Projected rotational velocity [n], km/s."""
    vrad: NDArray[np.float32]
    """Radial velocity [n], km/s."""
    epsilon: NDArray[np.float32]
    """Linear limb-darkening coefficient [n]."""
    noise: NDArray[np.float32]
    """Standard deviation of the noise of a pixel [n], as a fraction of the spectrum's median flux."""
    start: int = 0
    """Row of the store that the first entry is for."""

    @property
    def snr(self) -> NDArray[np.float32]:
        """Median flux over the noise of a pixel [n]; infinite without noise."""
        with np.errstate(divide="ignore"):
            return np.float32(1.0) / self.noise

    def of(self, row: int) -> dict[str, float]:
        """Return what is drawn for a row of the store besides its template, by name."""
        k = row - self.start
        return {name: float(getattr(self, name)[k]) for name in ("vsini", "vrad", "epsilon", "noise")}

    def rows(self, rows: range) -> "Draws":
        """Return the draws of consecutive rows of the store."""
        part = slice(rows.start - self.start, rows.stop - self.start)
        return Draws(
            self.template[part], self.vsini[part], self.vrad[part], self.epsilon[part], self.noise[part], rows.start
        )


def split_templates(seed: int, count: int, config: AugmentConfig) -> dict[str, NDArray[np.int64]]:
    """Return the templates of each split; no template is in two of them.

    Raises:
        GridFormatError: there are too few templates to give each split one.
    """
    if count < 3:
        raise GridFormatError(f"the grid has {count} templates; at least 3 are needed for train, valid and test")
    shuffled = permutation(stream(seed, "augment", "split"), count)
    n_test = min(max(1, round(config.test_fraction * count)), count - 2)
    rest = count - n_test
    n_valid = min(max(1, round(config.valid_fraction * rest)), rest - 1)
    parts = np.split(shuffled, [n_test, n_test + n_valid])
    return dict(zip(("test", "valid", "train"), (np.sort(part) for part in parts), strict=True))


def draw(seed: int, split: str, templates: NDArray[np.int64], rows: int, config: AugmentConfig) -> Draws:
    """Return the draws of all rows of a store.

    Each template is used equally often (give or take one), in an order shuffled by key.
    """

    def uniform(name: str, low: float, high: float) -> NDArray[np.float32]:
        unit = uniforms(stream(seed, "augment", split, name), np.arange(rows), 1)[:, 0]
        return (low + (high - low) * unit).astype(np.float32)

    balanced = templates[np.arange(rows) % templates.size]
    order = permutation(stream(seed, "augment", split, "template"), rows)
    return Draws(
        template=balanced[order].astype(np.int32),
        vsini=uniform("vsini", 0.0, config.vsini_max),
        vrad=uniform("vrad", -config.vrad_max, config.vrad_max),
        epsilon=uniform("epsilon", 0.0, 1.0),
        noise=uniform("noise", 0.0, config.noise_max),
    )
