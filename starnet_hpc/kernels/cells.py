"""The cells between the nodes of a grid: a Delaunay triangulation, and points drawn inside its simplices.

A simplex of L dimensions has L + 1 corners, and every point in it is one weighted sum of them (barycentric
coordinates). Regular lattices have many triangulations, all of them Delaunay: nodes are moved a little by key, so that
there is one, and the same on every machine. Only which corners belong together is taken from the moved nodes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]
_I4 = NDArray[np.int32]
_I8 = NDArray[np.int64]

SHIFT = 1e-3
"""Nodes are moved by up to half of this, in steps between nodes: small, but far above rounding."""

_FLAT = 1e-9
"""Simplices with less than this of the volume of a cube of one step are flat: their corners lie in one plane."""
_LINES = 0.9
"""Nodes lie on lines if there are fewer lines than this share of the nodes; sampled nodes have a line each."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Cells:
    """Simplices between nodes."""

    nodes: int
    """How many nodes there are; some may be in no cell."""
    corners: _I4
    """Nodes of each cell [cells, corners]."""
    volume: _F8
    """Relative volumes [cells]."""

    @property
    def alone(self) -> _I8:
        """Nodes that are a corner of no cell."""
        return np.setdiff1d(np.arange(self.nodes), self.corners)

    def points(self, home: NDArray[np.integer], unit: _F8) -> tuple[_I4, _F4]:
        """Return points as weighted sums of nodes, uniform in the home node's share of its cells.

        A node's share is where its weight is the largest: in each of its cells, one part in as many as there are
        corners. So the shares of all nodes fill the cells without overlap.

        Args:
            home: a node for each point [n].
            unit: uniform numbers in (0, 1) [n, corners].

        Returns:
            Nodes and their weights [n, corners], the home first; of weight 1 where the home is in no cell.
        """
        cell, start, cumulated = self._around
        low, high = start[home], start[home + 1]
        at = cumulated[low] + unit[:, 0] * (cumulated[high] - cumulated[low])
        place = np.minimum(np.searchsorted(cumulated, at, side="right") - 1, high - 1)
        inside = high > low
        corners = np.repeat(home.astype(np.int32)[:, None], unit.shape[1], axis=1)
        corners[inside] = self.corners[cell[place[inside]]]
        rows = np.arange(home.size)
        # Gaps between sorted uniform numbers are uniform over a simplex (and exact on every machine).
        weights = np.diff(np.sort(unit[:, 1:], axis=1), axis=1, prepend=0.0, append=1.0)
        weights[~inside] = np.eye(1, unit.shape[1])
        _swap(corners, rows, np.argmax(corners == home[:, None], axis=1))
        _swap(weights, rows, np.argmax(weights, axis=1))
        return corners, weights.astype(np.float32)

    @cached_property
    def _around(self) -> tuple[_I8, _I8, _F8]:
        """Cells of the first node, of the second, ...; where each node's begin; their volumes, cumulated."""
        order = np.argsort(self.corners, axis=None, kind="stable")
        cell = order // self.corners.shape[1]
        start = np.searchsorted(self.corners.ravel()[order], np.arange(self.nodes + 1))
        return cell, start, np.concatenate([[0.0], np.cumsum(self.volume[cell])])


def node_steps(points: _F8) -> _F8:
    """Return the distance of neighbouring nodes along each axis [axes].

    On a lattice it is the median distance of an axis's values; nodes that are sampled fill their range evenly.

    Args:
        points: the nodes [n, axes], all different, none of whose axes is constant.
    """
    count, axes = points.shape
    apart = np.array([np.median(np.diff(np.unique(values))) for values in points.T])
    even = np.ptp(points, axis=0) * count ** (-1.0 / axes)
    return np.where(_on_lines(points), apart, np.maximum(apart, even))


def free_axes(points: _F8) -> _I8:
    """Return the axes along which nodes differ, without those that are a function of the others on a lattice.

    Args:
        points: the nodes [n, axes], all different.
    """
    axes = [axis for axis in range(points.shape[1]) if np.ptp(points[:, axis]) > 0]
    for axis in reversed(axes.copy()):
        rest = points[:, [other for other in axes if other != axis]]
        # Of nodes that are sampled, no two share the other labels either: that says nothing about this one.
        if rest.shape[1] > 1 and _different(rest) == len(points) and _on_lines(rest).all():
            axes.remove(axis)
    return np.array(axes, dtype=np.int64)


def triangulate(points: _F8, shifts: _F8, reach: float) -> Cells:
    """Return the cells between nodes, without those that are too long.

    Args:
        points: the nodes [n, axes], in steps between nodes; more of them than axes.
        shifts: how nodes are moved to choose a triangulation [n, axes], -0.5 to 0.5.
        reach: the largest extent of a cell along any axis, in steps.
    """
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        simplices = np.stack([order[:-1], order[1:]], axis=1)
    else:
        simplices = np.asarray(Delaunay(points + SHIFT * shifts).simplices, dtype=np.int64)
    # In an order of our own, whatever the library's is.
    simplices = np.sort(simplices, axis=1)
    corners = simplices[np.lexsort(simplices.T[::-1])]
    places = points[corners]
    volume = np.abs(np.linalg.det(places[:, 1:] - places[:, :1]))
    usable = (volume > _FLAT) & (np.ptp(places, axis=1).max(axis=1) <= reach * (1.0 + _ROUNDING))
    return Cells(len(points), corners[usable].astype(np.int32), volume[usable])


def _on_lines(points: _F8) -> NDArray[np.bool_]:
    """Return along which axes nodes lie on lines parallel to it, as those of a lattice do [axes]."""
    rest = (np.delete(points, axis, axis=1) for axis in range(points.shape[1]))
    return np.array([_different(others) <= _LINES * len(points) for others in rest])


def _different(points: _F8) -> int:
    """Return how many different points there are."""
    return len(np.unique(points, axis=0)) if points.shape[1] else 1


def _swap(values: _I4 | _F8, rows: _I8, column: NDArray[np.integer]) -> None:
    """Exchange one column of each row with the first, in place."""
    first = values[rows, 0].copy()
    values[rows, 0] = values[rows, column]
    values[rows, column] = first
