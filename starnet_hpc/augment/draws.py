"""What is drawn for each row of a store: its template and its nuisances, all of them functions of the row's key."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import GridFormatError
from starnet_hpc.kernels.random import permutation, stream, uniforms

SPLITS = ("train", "valid", "test")

SNR_DEFINITION = (
    "median flux of the noiseless spectrum over the standard deviation of a pixel's noise, before the continuum is "
    "removed: 1 / draws/noise"
)

_ROUNDING = 1e-9
"""Shares of rows that differ by less from a whole number are meant to be one."""


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
    nodes: NDArray[np.int32] | None = None
    """Between nodes: the templates that a spectrum is made of [n, corners], `template` first; None: that one alone."""
    weights: NDArray[np.float32] | None = None
    """Their weights [n, corners], the first the largest; their sum is 1."""

    @property
    def snr(self) -> NDArray[np.float32]:
        """Median flux over the noise of a pixel [n]; infinite without noise."""
        with np.errstate(divide="ignore"):
            return np.float32(1.0) / self.noise

    def snr_quantiles(self) -> dict[str, float | None]:
        """Return the S/N below which 5, 25, 50, 75 and 95 % of the rows lie; None where it is infinite."""
        noise = {share: float(np.quantile(self.noise, 1.0 - share / 100.0)) for share in (5, 25, 50, 75, 95)}
        return {f"{share} %": 1.0 / value if value > 0 else None for share, value in noise.items()}

    def of(self, row: int) -> dict[str, float]:
        """Return what is drawn for a row of the store besides its template, by name."""
        k = row - self.start
        return {name: float(getattr(self, name)[k]) for name in ("vsini", "vrad", "epsilon", "noise")}

    def rows(self, rows: range) -> "Draws":
        """Return the draws of consecutive rows of the store."""
        part = slice(rows.start - self.start, rows.stop - self.start)
        of_rows = {name: values[part] for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return replace(self, start=rows.start, **of_rows)

    def mixture(self, row: int) -> list[tuple[int, float]]:
        """Return the templates that the spectrum of a row of the store is a weighted sum of, and their weights."""
        k = row - self.start
        if self.nodes is None or self.weights is None:
            return [(int(self.template[k]), 1.0)]
        pairs = zip(self.nodes[k].tolist(), self.weights[k].tolist(), strict=True)
        return [(template, weight) for template, weight in pairs if weight > 0]

    def average(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of templates [templates, k] for each row [n, k]: the weighted sum over those it is made of."""
        if self.nodes is None or self.weights is None:
            return values[self.template]
        out = np.zeros((self.template.size, values.shape[1]))
        for node, weight in zip(self.nodes.T, self.weights.T.astype(np.float64), strict=True):
            out += weight[:, None] * values[node]
        return out


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


def draw(
    seed: int,
    split: str,
    templates: NDArray[np.int64],
    rows: int,
    config: AugmentConfig,
    weight: NDArray[np.float64] | None = None,
) -> Draws:
    """Return the draws of all rows of a store.

    Each template is used as often as its weight says (give or take one), in an order shuffled by key.

    Args:
        seed: of the experiment.
        split: name of the store, which keys the random numbers.
        templates: rows of `grid.zarr` to choose from [n].
        rows: of the store.
        config: ranges to draw from.
        weight: how often each template is used relative to the others [n]; equally often by default.
    """

    def uniform(name: str, low: float, high: float) -> NDArray[np.float32]:
        unit = uniforms(stream(seed, "augment", split, name), np.arange(rows), 1)[:, 0]
        return (low + (high - low) * unit).astype(np.float32)

    balanced = templates[_balanced(np.ones(templates.size) if weight is None else weight, rows)]
    order = permutation(stream(seed, "augment", split, "template"), rows)
    return Draws(
        template=balanced[order].astype(np.int32),
        vsini=uniform("vsini", 0.0, config.vsini_max),
        vrad=uniform("vrad", -config.vrad_max, config.vrad_max),
        epsilon=uniform("epsilon", 0.0, 1.0),
        noise=uniform("noise", 0.0, config.noise_of(split)),
    )


def _balanced(weight: NDArray[np.float64], rows: int) -> NDArray[np.int64]:
    """Return which weight each row belongs to [rows]: shares by the largest remainder, in turns."""
    quota = rows * (weight / weight.sum())
    counts = np.floor(quota + _ROUNDING).astype(np.int64)
    remainder = np.round(quota - counts, 9)
    counts[np.argsort(-remainder, kind="stable")[: rows - counts.sum()]] += 1
    owner = np.repeat(np.arange(weight.size), counts)
    turn = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner[np.argsort(turn, kind="stable")]
