"""Train spectra between nodes are what a synthesis there would give, as far as a straight line can tell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.between import node_cells
from starnet_hpc.augment.draws import draw
from starnet_hpc.augment.splits import plan_splits, template_parts
from starnet_hpc.config import AugmentConfig, ExperimentConfig
from starnet_hpc.errors import GridFormatError, StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.kernels.blend import blend
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.labels import GRID_LABELS
from starnet_hpc.launch.verify import verify
from starnet_hpc.stores import Store, open_store
from tests.augment.cases import experiment, linear_form, same_stores, write_grid

TEMPLATES = 120
ON = {"between_nodes": "linear", "between_nodes_reach": 4.0}


def between(run_dir: Path, **augmentation: Any) -> ExperimentConfig:
    """Return an experiment with spectra between the nodes of a grid on which straight lines are exact."""
    config = experiment(run_dir, augment={**ON, **augmentation})
    write_grid(config, templates=TEMPLATES, form=linear_form)
    return config


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    config = between(tmp_path_factory.mktemp("between") / "run")
    augment(config)
    return config


def opened(config: ExperimentConfig, name: str) -> Store:
    return open_store(config.store(name), made_by="augment")


def test_spectra_are_those_of_their_labels_where_fluxes_are_linear_in_them(tmp_path: Path) -> None:
    config = between(tmp_path / "run", noise_max=0.0, continuum="none", dtype="float32")
    augment(config)
    store, instrument = opened(config, "train"), load_instrument(config.instrument)
    grid = open_store(config.store("grid"), made_by="ingest").wavelength
    forward = ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms)
    labels, epsilon = store.column("labels").astype(float), store.column("draws/epsilon")
    for row in range(0, 96, 7):
        exact = linear_form(grid, labels[row, :4]).astype(np.float32)
        vsini, vrad = labels[row, 4:]
        expected = forward.observe(exact, vsini=vsini, epsilon=float(epsilon[row]), vrad=vrad)
        # Labels are kept in float32: 3e-4 K; fluxes and weights in float32, too.
        np.testing.assert_allclose(store.read(row, row + 1)[0], expected / np.median(expected), rtol=3e-6)


def test_labels_are_the_weighted_labels_and_lie_between_those_of_the_nodes(made: ExperimentConfig) -> None:
    store, grid = opened(made, "train"), open_store(made.store("grid"), made_by="ingest")
    nodes, weights = store.column("draws/nodes"), store.column("draws/weights")
    assert nodes.shape == weights.shape == (96, 5)
    corners = grid.column("labels")[nodes]
    labels = store.column("labels")[:, :4]
    np.testing.assert_allclose(labels, np.einsum("nv,nvl->nl", weights, corners), rtol=1e-6, atol=1e-6)
    assert not (np.abs(labels[:, None] - grid.column("labels")).max(axis=2) < 1e-6).any()
    assert np.array_equal(nodes[:, 0], store.column("template"))
    assert store.attributes["between_nodes"]["templates_alone"] == 0


def test_only_templates_of_the_train_split_are_mixed(made: ExperimentConfig) -> None:
    parts = template_parts(made, open_store(made.store("grid"), made_by="ingest"))
    assert np.isin(opened(made, "train").column("draws/nodes"), parts["train"]).all()


def test_validation_and_test_are_templates_as_computed_and_train_uses_the_same_ones_as_before(
    made: ExperimentConfig, tmp_path: Path
) -> None:
    off = experiment(tmp_path / "off")
    write_grid(off, templates=TEMPLATES, form=linear_form)
    augment(off)
    for name in ("valid", "test"):
        assert opened(made, name).content_digest == opened(off, name).content_digest
        assert not opened(made, name).has("draws/nodes")
    for column in ("template", *(f"draws/{name}" for name in ("vsini", "vrad", "epsilon", "noise"))):
        assert np.array_equal(opened(made, "train").column(column), opened(off, "train").column(column))
    assert "between_nodes" not in opened(off, "train").attributes["recipe"]["augment"]
    assert "between_nodes" not in opened(off, "train").attributes
    assert not opened(off, "train").has("draws/nodes")


def test_spectra_are_the_same_for_any_shards_and_workers(
    made: ExperimentConfig, tmp_path: Path, dask_scheduler: str
) -> None:
    other = between(tmp_path / "run", shard_rows=40, scheduler=dask_scheduler)
    augment(other)
    assert same_stores(made, other)
    for column in ("draws/nodes", "draws/weights"):
        assert opened(made, "train").column(column).tobytes() == opened(other, "train").column(column).tobytes()


def test_rows_computed_again_are_identical(made: ExperimentConfig) -> None:
    verify(made, regenerate=1000)
    log = (made.run_dir / "logs" / "verify.log").read_text()
    assert "train: 96 of 96 rows computed again are identical" in log


def test_switching_it_on_is_a_contradiction_of_the_train_store_alone(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, templates=TEMPLATES, form=linear_form)
    augment(config)
    with pytest.raises(StoreMismatchError, match=r"train\.zarr[\s\S]*augment\.between_nodes: "):
        augment(experiment(tmp_path / "run", augment=ON))


@pytest.mark.parametrize("twins", [2, 3])
def test_templates_with_the_same_labels_are_one_node_and_all_of_them_are_used(tmp_path: Path, twins: int) -> None:
    config = experiment(tmp_path / "run", augment={**ON, "n_train": 400})
    write_grid(config, templates=TEMPLATES, twins=twins)
    grid = open_store(config.store("grid"), made_by="ingest")
    train = plan_splits(config, grid, load_instrument(config.instrument))[0]
    assert train.draws.nodes is not None
    labels = grid.column("labels")[train.draws.nodes]
    apart = np.abs(labels[:, :, None] - labels[:, None]).max(axis=-1)
    assert (apart + np.eye(5) > 1e-9).all()
    parts = template_parts(config, grid)
    assert set(train.draws.nodes[:, 1:].ravel()) == set(parts["train"])


def cells_of(labels: np.ndarray, **augmentation: Any) -> Any:
    config = AugmentConfig(between_nodes="linear", **augmentation)
    return node_cells(0, np.arange(len(labels)), labels, GRID_LABELS[: labels.shape[1]], config)


def test_a_label_that_is_tied_to_another_is_mixed_along_with_it() -> None:
    axes = np.meshgrid(np.arange(4500.0, 6501, 500), np.arange(1.0, 6), np.arange(-2.0, 0.6, 0.5), indexing="ij")
    free = np.stack(axes, axis=-1).reshape(-1, 3)
    labels = np.column_stack([free, np.interp(free[:, 2], [-1.5, 0.0], [0.5, 0.0])])
    found = cells_of(labels)
    assert found.facts["steps"] == {"teff": 500.0, "logg": 1.0, "feh": 0.5}
    drawn = found.spread(0, draw(0, "train", np.arange(len(labels)), 500, AugmentConfig()))
    mixed = drawn.average(labels)
    assert drawn.nodes.shape == (500, 4)
    np.testing.assert_allclose(mixed[:, 3], np.interp(mixed[:, 2], [-1.5, 0.0], [0.5, 0.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.random.default_rng(0).random((4, 4)), "have 4 different sets of labels, .* at least 5 are needed"),
        (np.full((9, 4), 0.5), "have 1 different sets of labels, .* at least 2 are needed"),
        (np.random.default_rng(0).random((30, 1)) @ np.ones((1, 3)), "do not span the space of teff, logg, feh"),
    ],
)
def test_templates_without_cells_between_them_are_refused_with_the_remedy(labels: np.ndarray, message: str) -> None:
    with pytest.raises(GridFormatError, match=rf"^augment\.between_nodes: .*{message}.*between_nodes: none"):
        cells_of(labels)


def test_templates_that_are_all_too_far_apart_are_refused_with_the_remedy() -> None:
    axes = np.meshgrid([4000.0, 4250.0, 6000.0, 6250.0], [1.0, 4.0], indexing="ij")
    diagonal = np.stack(axes, axis=-1).reshape(-1, 2)[[0, 3, 4, 7]]
    with pytest.raises(GridFormatError, match=r"raise augment\.between_nodes_reach, or set"):
        cells_of(diagonal, between_nodes_reach=1.0)


def test_a_grid_of_one_label_is_mixed_between_neighbours() -> None:
    found = cells_of(np.arange(4000.0, 6001, 250)[:, None])
    drawn = found.spread(0, draw(0, "train", np.arange(9), 900, AugmentConfig()))
    assert drawn.nodes is not None
    assert set(np.abs(np.diff(drawn.nodes, axis=1)).ravel()) == {1}


def test_held_out_real_spectra_are_met_better_between_nodes_than_at_the_nearest(shared: Path) -> None:
    """The reference grid's own held-out syntheses, where they lie in cells of those trained on."""
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        labels, norm = data["par"][:, :4].astype(float), data["norm"]
    part = np.sort(np.random.default_rng(0).permutation(len(labels))[:1475])
    found = node_cells(0, part, labels[part], GRID_LABELS, AugmentConfig(between_nodes="linear"))
    scale = np.array(list(found.facts["steps"].values()))
    corners = found.templates[found.cells.corners]
    first = labels[corners[:, 0]] / scale
    inverse = np.linalg.inv(np.swapaxes(labels[corners[:, 1:]] / scale - first[:, None], 1, 2))
    errors = []
    for star in np.setdiff1d(np.arange(len(labels)), part)[:120]:
        weights = np.einsum("cij,cj->ci", inverse, labels[star] / scale - first)
        weights = np.column_stack([1.0 - weights.sum(axis=1), weights])
        inside = np.flatnonzero(weights.min(axis=1) >= 0)
        if not inside.size:
            continue
        nodes, mixture = corners[inside[0]], weights[inside[0]]
        truth, *spectra = (norm[k].astype(np.float32) / np.float32(65535) for k in (star, *nodes))
        mixed = blend(spectra, mixture.tolist())
        nearest = spectra[int(np.argmax(mixture))]
        errors.append([np.sqrt(np.mean((one / one.mean() - truth / truth.mean()) ** 2)) for one in (mixed, nearest)])
    ours, nearest = np.median(errors, axis=0)
    assert len(errors) > 60
    assert ours < 0.5 * nearest


def test_templates_are_used_equally_often_between_nodes_too() -> None:
    labels = np.random.default_rng(0).random((300, 4)) * [3000.0, 4.5, 3.5, 0.75]
    drawn = cells_of(labels).spread(0, draw(0, "train", np.arange(300), 10_000, AugmentConfig()))
    counts = np.bincount(drawn.nodes[:, 0])
    assert counts.max() - counts.min() <= 1


def test_templates_without_neighbours_are_used_as_they_are_and_the_log_says_how_many(tmp_path: Path) -> None:
    config = between(tmp_path / "run", between_nodes_reach=1.6)
    augment(config)
    store = opened(config, "train")
    alone = store.attributes["between_nodes"]["templates_alone"]
    assert 0 < alone < store.attributes["templates"]
    as_they_are = np.unique(store.column("template")[store.column("draws/weights")[:, 0] == 1.0])
    assert as_they_are.size == alone
    log = (config.run_dir / "logs" / "augment.log").read_text()
    assert f"{alone} of its 86 templates have no neighbours within augment.between_nodes_reach" in log
    assert "train: spectra lie between nodes, in " in log
