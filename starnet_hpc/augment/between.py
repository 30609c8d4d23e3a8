"""Train spectra between nodes: each a weighted sum of neighbouring templates, with labels that are the same sum.

Only train spectra are: validation and test templates are then real syntheses that lie between those trained on, and
measure what the interpolation costs, too.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.augment.draws import Draws
from starnet_hpc.config import AugmentConfig
from starnet_hpc.errors import GridFormatError
from starnet_hpc.kernels.cells import Cells, free_axes, node_steps, triangulate
from starnet_hpc.kernels.random import stream, uniforms

SPLIT = "train"
"""The one split whose spectra may lie between nodes."""

_BLOCK = 65_536
"""Rows drawn together: memory for more is not needed."""
_REMEDY = "set augment.between_nodes: none, or take a grid with more templates"


@dataclass(frozen=True)
class NodeCells:
    """The cells between the templates of one split; templates with the same labels are one node."""

    templates: NDArray[np.int64]
    """Templates, sorted by node [templates]."""
    start: NDArray[np.int64]
    """Where each node's templates begin [nodes + 1]."""
    cells: Cells
    facts: dict[str, Any]
    """What to keep with the store about them."""

    def spread(self, seed: int, draws: Draws) -> Draws:
        """Return draws that lie between nodes: each row in its template's share of the cells around it, by key."""
        node = np.empty(int(self.templates.max()) + 1, dtype=np.int64)
        node[self.templates] = np.repeat(np.arange(self.start.size - 1), np.diff(self.start))
        corners = self.cells.corners.shape[1]
        nodes = np.empty((draws.template.size, corners), dtype=np.int32)
        weights = np.empty((draws.template.size, corners), dtype=np.float32)
        place, twin = (stream(seed, "augment", SPLIT, name) for name in ("between nodes", "twin"))
        for first in range(0, draws.template.size, _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, draws.template.size))
            found, weights[rows] = self.cells.points(node[draws.template[rows]], uniforms(place, rows, corners))
            # One of those with the same labels (but other microturbulence, say).
            which = uniforms(twin, rows, corners) * (self.start[found + 1] - self.start[found])
            nodes[rows] = self.templates[self.start[found] + which.astype(np.int64)]
        nodes[:, 0] = draws.template
        return replace(draws, nodes=nodes, weights=weights)


def node_cells(
    seed: int,
    templates: NDArray[np.int64],
    labels: NDArray[np.float64],
    names: tuple[str, ...],
    config: AugmentConfig,
) -> NodeCells:
    """Return the cells between the train templates.

    Args:
        seed: of the experiment.
        templates: rows of `grid.zarr` [n].
        labels: their labels [n, L].
        names: of the labels.
        config: of the stage; templates further apart than `between_nodes_reach` node steps share no cell.

    Raises:
        GridFormatError: there are too few templates to have cells between them, or they are too far apart.
    """
    points, node = np.unique(np.round(labels, 6), axis=0, return_inverse=True)
    node = node.ravel()
    axes = free_axes(points)
    if len(points) <= axes.size or not axes.size:
        raise GridFormatError(
            f"augment.between_nodes: the train templates have {len(points)} different sets of labels, and between "
            f"nodes of {axes.size} labels at least {max(axes.size, 1) + 1} are needed; {_REMEDY}"
        )
    steps = node_steps(points[:, axes])
    shifts = uniforms(stream(seed, "augment", SPLIT, "triangulation"), np.arange(len(points)), axes.size) - 0.5
    varied = [names[axis] for axis in axes]
    places = points[:, axes] / steps
    if np.linalg.matrix_rank(places - places.mean(axis=0)) < axes.size:
        raise GridFormatError(
            f"augment.between_nodes: the train templates do not span the space of {', '.join(varied)} "
            f"(one of these labels follows from the others); {_REMEDY}"
        )
    cells = triangulate(places, shifts, config.between_nodes_reach)
    if not len(cells.corners):
        raise GridFormatError(
            f"augment.between_nodes: no templates around any point are within {config.between_nodes_reach:g} node "
            f"steps of each other; raise augment.between_nodes_reach, or {_REMEDY}"
        )
    order = np.argsort(node, kind="stable")
    start = np.searchsorted(node[order], np.arange(len(points) + 1))
    alone = int(np.isin(node, cells.alone).sum())
    step_of = {name: float(step) for name, step in zip(varied, steps, strict=True)}
    return NodeCells(
        templates[order], start, cells, {"cells": len(cells.corners), "steps": step_of, "templates_alone": alone}
    )
