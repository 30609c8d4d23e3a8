"""Cells between nodes fill what they can and no more, and points in them are where their weights say."""

import math

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.stats import kstest, qmc

from starnet_hpc.kernels.cells import Cells, free_axes, node_steps, triangulate


def lattice(*counts: int) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(float(count)) for count in counts], indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, len(counts))


def held_out(nodes: np.ndarray, share: float = 0.28) -> np.ndarray:
    """Return the nodes without a random share of them."""
    return nodes[np.random.default_rng(1).random(len(nodes)) > share]


def sampled(count: int, axes: int) -> np.ndarray:
    return np.asarray(qmc.Sobol(axes, rng=1).random(count))


def cells(nodes: np.ndarray, reach: float = 2.5, key: int = 0) -> Cells:
    return triangulate(nodes, np.random.default_rng(key).random(nodes.shape) - 0.5, reach)


def filled(found: Cells) -> float:
    """Return the volume of all cells, in cubes of one step."""
    return float(found.volume.sum()) / math.factorial(found.corners.shape[1] - 1)


@pytest.mark.parametrize("counts", [(7,), (4, 5), (3, 4, 5), (3, 4, 3, 3), (3, 2, 3, 2, 2)])
def test_a_lattice_is_filled_exactly_by_cells_of_one_step(counts: tuple[int, ...]) -> None:
    found = cells(lattice(*counts), reach=1.0)
    assert filled(found) == pytest.approx(math.prod(count - 1 for count in counts), rel=1e-12)
    assert found.alone.size == 0


@pytest.mark.parametrize("key", range(3))
def test_a_lattice_with_nodes_held_out_is_filled_however_it_is_triangulated(key: int) -> None:
    nodes = held_out(lattice(7, 6, 6, 5))
    hull = ConvexHull(nodes).volume
    # Some cells at the faces, where neighbours are held out, are longer than 2.5 steps. Cells never overlap.
    assert 0.97 * hull < filled(cells(nodes, key=key)) <= hull * (1 + 1e-9)


def test_sampled_nodes_are_triangulated_to_their_hull() -> None:
    nodes = sampled(512, 4)
    steps = node_steps(nodes)
    found = cells(nodes / steps, reach=100.0)
    # Moving nodes opens slits of a thousandth of a step at the hull's faces.
    assert filled(found) == pytest.approx(ConvexHull(nodes / steps).volume, rel=2e-3)


def test_cells_are_never_longer_than_the_reach() -> None:
    nodes = sampled(256, 3) / node_steps(sampled(256, 3))
    for reach in (1.5, 2.5):
        found = cells(nodes, reach)
        assert 0 < np.ptp(nodes[found.corners], axis=1).max() <= reach * (1 + 1e-6)


def test_a_gap_in_the_grid_is_not_bridged_and_a_node_far_off_is_alone() -> None:
    there = lattice(4, 4) + np.array([10.0, 0.0])
    nodes = np.concatenate([lattice(4, 4), there, [[30.0, 1.0]]])
    found = cells(nodes)
    assert filled(found) == pytest.approx(18.0)
    assert found.alone.tolist() == [32]
    unit = np.random.default_rng(0).random((5, 3))
    corners, weights = found.points(np.full(5, 32), unit)
    assert (corners == 32).all()
    assert (weights == [1.0, 0.0, 0.0]).all()


def test_the_home_comes_first_and_weighs_most() -> None:
    nodes = held_out(lattice(5, 5, 5))
    rng = np.random.default_rng(2)
    home = rng.integers(0, len(nodes), 5000)
    corners, weights = cells(nodes).points(home, rng.random((5000, 4)))
    assert np.array_equal(corners[:, 0], home)
    assert (weights[:, 0] >= weights.max(axis=1)).all()
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=3e-7)
    assert all(np.unique(row).size == 4 for row in corners)


def test_points_of_a_node_on_a_line_are_uniform_half_a_step_to_both_sides() -> None:
    unit = np.random.default_rng(3).random((4000, 2))
    corners, weights = cells(lattice(6)).points(np.full(4000, 2), unit)
    places = (weights * lattice(6)[corners, 0]).sum(axis=1)
    assert kstest(places, "uniform", (1.5, 1.0)).pvalue > 1e-3


def test_points_of_all_nodes_of_a_cell_fill_it_uniformly() -> None:
    triangle = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.0]])
    count = 30_000
    corners, weights = cells(triangle).points(np.arange(count) % 3, np.random.default_rng(4).random((count, 3)))
    by_node = np.zeros((count, 3))
    np.put_along_axis(by_node, corners.astype(np.int64), weights.astype(float), axis=1)
    # Uniform weights are Dirichlet(1, 1, 1): each has density 2 (1 - w).
    for node in range(3):
        assert kstest(by_node[:, node], "beta", (1, 2)).pvalue > 1e-3
    covariance = np.cov(by_node.T)
    assert covariance[0, 1] == pytest.approx(-1 / 36, abs=4.5 * 0.05 / math.sqrt(count))


def test_cells_around_a_node_are_chosen_by_their_volume() -> None:
    nodes = np.array([[0.0], [1.0], [3.0]])
    corners, _ = cells(nodes).points(np.full(9000, 1), np.random.default_rng(5).random((9000, 2)))
    share = float((corners[:, 1] == 2).mean())
    assert share == pytest.approx(2 / 3, abs=4.5 * math.sqrt(2 / 9 / 9000))


def test_steps_are_those_of_the_lattice_also_with_nodes_held_out() -> None:
    nodes = held_out(lattice(9, 6, 5, 2) * [250.0, 0.5, 0.25, 0.4])
    np.testing.assert_allclose(node_steps(nodes), [250.0, 0.5, 0.25, 0.4])
    uneven = np.array([[4000.0], [4100.0], [4200.0], [4400.0]])
    np.testing.assert_allclose(node_steps(uneven), [100.0])


@pytest.mark.parametrize("decimals", [2, 3, 9])
def test_steps_of_sampled_nodes_are_their_mean_spacing_however_they_are_rounded(decimals: int) -> None:
    nodes = np.unique(np.round(sampled(512, 3), decimals), axis=0)
    np.testing.assert_allclose(node_steps(nodes), 1 / 8, rtol=0.1)


def test_an_axis_of_two_values_among_sampled_ones_has_their_distance() -> None:
    nodes = sampled(512, 3)
    nodes[:, 2] = np.where(nodes[:, 2] > 0.5, 0.4, 0.0)
    assert node_steps(nodes)[2] == pytest.approx(0.4)


def test_a_label_that_follows_from_another_on_a_lattice_is_no_axis() -> None:
    free = lattice(5, 5, 6) * [500.0, 1.0, 0.5] + [4500.0, 1.0, -2.0]
    tied = np.interp(free[:, 2], [-1.5, 0.0], [0.5, 0.0])
    for nodes in (np.column_stack([free, tied]), held_out(np.column_stack([free, tied]))):
        assert free_axes(nodes).tolist() == [0, 1, 2]


def test_labels_that_vary_freely_are_axes_and_constant_ones_are_not() -> None:
    assert free_axes(held_out(lattice(5, 4, 4, 2))).tolist() == [0, 1, 2, 3]
    assert free_axes(sampled(64, 4)).tolist() == [0, 1, 2, 3]
    assert free_axes(np.column_stack([sampled(64, 2), np.zeros(64)])).tolist() == [0, 1]
    assert free_axes(lattice(1, 5)).tolist() == [1]


def test_nodes_in_a_plane_have_no_cells_in_space() -> None:
    flat = sampled(64, 3)
    flat[:, 2] = flat[:, 0] + flat[:, 1]
    assert len(cells(flat / node_steps(flat)).corners) == 0
