"""How far from the truth the continuum is found, against noise and temperature (paper, Fig. A1).

Templates of the test split, with one draw of velocities and limb darkening each, as training has them; then only the
noise is varied. The reference is the true continuum if the grid knows it for some of them, which are then taken; else
it is the continuum that is found without noise.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws, draw
from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.augment.splits import spectrum_recipe, template_parts
from starnet_hpc.augment.truth import TrueContinua, true_continua
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import Instrument
from starnet_hpc.kernels.random import permutation, stream
from starnet_hpc.stores import MappedRows, Store, write_arrays

_TEMPLATES, _LEVELS, _TEFF_BINS = 200, 8, 8
_SPLIT = "continuum-bias"
"""Keys the random numbers."""


def keep_continuum_bias(path: Path, config: ExperimentConfig, grid: Store, instrument: Instrument) -> None:
    """Write `continuum_bias.npz`.

    Arrays: `offset` [templates, levels], median over the pixels of found / reference - 1; `noise` [levels], sigma of a
    pixel over the median flux; `template` [templates], rows of `grid.zarr`; `labels` [templates, L] with `label_names`;
    `against_truth`, whether the reference is the true continuum; `method`, as `augment.continuum`.
    """
    truth = true_continua(grid)
    templates = template_parts(config, grid)["test"]
    known = np.isfinite(truth.values[templates]).all(axis=1)
    if known.any():
        templates = templates[known]
    chosen = _balanced(config.seed, templates, grid.column("labels")[:, grid.label_names.index("teff")])
    noise = np.unique(np.linspace(0.0, config.augment.noise_max, _LEVELS))
    recipe = spectrum_recipe(config, grid, instrument, _SPLIT)
    draws = _every_level(draw(config.seed, _SPLIT, chosen, chosen.size, config.augment), noise)
    reference = truth if known.any() else None
    offset = _offsets(recipe, grid.mapped_rows(), draws, reference, instrument.wavelength)
    order = draws.template[:: noise.size]
    write_arrays(
        path,
        offset=offset.reshape(-1, noise.size).astype(np.float32),
        noise=noise,
        template=order,
        labels=grid.column("labels")[order],
        label_names=np.array(grid.label_names),
        against_truth=bool(known.any()),
        method=config.augment.continuum,
    )


def _balanced(seed: int, templates: NDArray[np.int64], teff: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return at most so many templates, as many from each stretch of Teff as there are, drawn by key."""
    shuffled = templates[permutation(stream(seed, "augment", _SPLIT, "templates"), templates.size)]
    values = teff[shuffled]
    edges = np.linspace(values.min(), values.max(), _TEFF_BINS + 1)[1:-1]
    stretch = np.searchsorted(edges, values, side="right")
    turn = np.empty(shuffled.size, dtype=np.int64)
    for one in range(_TEFF_BINS):
        turn[stretch == one] = np.arange(np.count_nonzero(stretch == one))
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:_TEMPLATES]])


def _every_level(draws: Draws, noise: NDArray[np.float64]) -> Draws:
    """Return draws in which each row stands once for each level of noise."""
    drawn: dict[str, Any] = {
        name: np.repeat(getattr(draws, name), noise.size) for name in ("template", "vsini", "vrad", "epsilon")
    }
    return replace(draws, noise=np.tile(noise, draws.template.size).astype(np.float32), **drawn)


def _offsets(
    recipe: SpectrumRecipe,
    templates: MappedRows,
    draws: Draws,
    truth: TrueContinua | None,
    wavelength: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the median offset of each row [n]; without the truth, from the row's template without noise."""
    offset = np.empty(draws.template.size)
    noiseless = np.empty(0, dtype=np.float32)
    for row in range(offset.size):
        found = recipe.continuum(recipe.observed(templates, draws, row))
        if draws.noise[row] == 0:  # the first of its template
            noiseless = found
        reference = noiseless if truth is None else truth.of(draws, row, wavelength)
        offset[row] = np.median(found / reference) - 1.0
    return offset
