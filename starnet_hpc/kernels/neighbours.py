"""Values at a point between scattered nodes, as a weighted sum of those at the nodes around it."""

import numpy as np
from numpy.typing import NDArray

_F8 = NDArray[np.float64]

_PER_TERM = 5
"""Nodes for each term of the polynomial. On the reference grid 40 to 80 nodes for 15 terms err the least."""


def quadratic_weights(nodes: _F8, point: _F8) -> tuple[NDArray[np.int64], _F8]:
    """Return the nodes [k] nearest to a point and their weights [k], some of them negative, with sum 1.

    Values at the nodes summed with these weights are at the point what a polynomial of second degree is that was fitted
    to them by least squares, near nodes counting for more (Cleveland & Devlin 1988, with their tricube weights). Where
    nodes do not determine all terms, those that matter least are left out.

    Args:
        nodes: their places [n, dimensions], comparable along all dimensions.
        point: the place [dimensions].
    """
    away = nodes - point
    distance = np.sqrt(np.square(away).sum(axis=1))
    dimensions = nodes.shape[1]
    terms = (dimensions + 1) * (dimensions + 2) // 2
    count = min(_PER_TERM * terms, len(nodes))
    nearest = np.argpartition(distance, count - 1)[:count]
    nearest = nearest[np.argsort(distance[nearest], kind="stable")]
    reach = max(float(distance[nearest[-1]]), np.finfo(np.float64).tiny) * (1.0 + 1e-6)
    weight = np.sqrt((1.0 - (distance[nearest] / reach) ** 3) ** 3)
    x = away[nearest] / reach
    first, second = np.triu_indices(dimensions)
    polynomial = np.concatenate([np.ones((count, 1)), x, x[:, first] * x[:, second]], axis=1)
    solved = np.linalg.pinv(polynomial * weight[:, None], rcond=1e-6)[0] * weight
    return nearest, solved / solved.sum()
