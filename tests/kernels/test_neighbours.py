"""Values between scattered nodes: exact for what a quadratic can do, and those of a weighted fit for the rest."""

import numpy as np
import pytest

from starnet_hpc.kernels.neighbours import quadratic_weights


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_a_quadratic_is_met_exactly_also_a_little_outside(dimensions: int) -> None:
    generator = np.random.default_rng(dimensions)
    nodes = generator.uniform(size=(400, dimensions))
    curve, slope = generator.normal(size=(dimensions, dimensions)), generator.normal(size=dimensions)

    def value(x: np.ndarray) -> np.ndarray:
        return 2.0 + x @ slope + np.einsum("...i,ij,...j", x, curve, x)

    for point in [*generator.uniform(size=(20, dimensions)), np.full(dimensions, 1.05)]:
        rows, weights = quadratic_weights(nodes, point)
        assert rows.size == np.unique(rows).size == min(400, 5 * (dimensions + 1) * (dimensions + 2) // 2)
        assert weights.sum() == pytest.approx(1.0)
        assert weights @ value(nodes[rows]) == pytest.approx(value(point), abs=1e-6)


def test_the_weights_are_those_of_a_weighted_polynomial_fit() -> None:
    generator = np.random.default_rng(5)
    nodes, values, point = generator.uniform(size=40), generator.normal(size=40), 0.3
    rows, weights = quadratic_weights(nodes[:, None], np.array([point]))
    distance = np.abs(nodes[rows] - point)
    tricube = (1 - (distance / distance.max() / (1 + 1e-6)) ** 3) ** 3
    fitted = np.polynomial.Polynomial.fit(nodes[rows], values[rows], 2, w=np.sqrt(tricube))
    assert weights @ values[rows] == pytest.approx(fitted(point), abs=1e-6)


def test_few_nodes_and_nodes_of_a_lattice_give_what_they_can() -> None:
    one, weight = quadratic_weights(np.array([[0.5, 0.5]]), np.array([0.2, 0.9]))
    assert list(one) == [0]
    np.testing.assert_allclose(weight, 1.0)
    lattice = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 2), axis=-1).reshape(-1, 2)
    rows, weights = quadratic_weights(lattice, lattice[12])
    assert weights @ (lattice[rows] ** 2).sum(axis=1) == pytest.approx((lattice[12] ** 2).sum())
    flat = np.column_stack([lattice, np.zeros(25)])  # a label that no node differs in
    rows, weights = quadratic_weights(flat, np.array([0.4, 0.6, 0.0]))
    assert weights @ flat[rows, 0] == pytest.approx(0.4, abs=1e-6)
