"""Templates from further folders: they join the same store, named by their folder, each with a weight."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from starnet_hpc.augment import augment
from starnet_hpc.config import load_config
from starnet_hpc.errors import ConfigError, GridFormatError, MissingInputError, StoreMismatchError
from starnet_hpc.grids import READERS, write_intrigoss
from starnet_hpc.grids.intrigoss import Intrigoss
from starnet_hpc.ingest import ingest
from starnet_hpc.launch.rundir import claim
from starnet_hpc.stores import Store, open_store
from tests.grids.templates import template
from tests.ingest.cases import experiment, write_grid

RARE = [(6500.0, 2.0), (6750.0, 2.0), (7000.0, 2.0)]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder with `grid/` (12 templates) and `rare/` (3)."""
    write_grid(tmp_path / "grid")
    (tmp_path / "rare").mkdir()
    for teff, logg in RARE:
        write_intrigoss(tmp_path / "rare", template(teff=teff, logg=logg))
    return tmp_path


def extra(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"format": "intrigoss", "path": str(folder), "weight": 4.0, **changes}


def opened(path: Path) -> Store:
    return open_store(path, made_by="ingest")


def test_extra_templates_stand_behind_the_grids_own_with_their_folder_and_weight(folders: Path) -> None:
    alone = opened(ingest(experiment(folders, run="alone")))
    store = opened(ingest(experiment(folders, grid={"extra": [extra(folders / "rare")]})))
    assert len(store) == 15
    assert store.column("source")[:12].tolist() == alone.column("source").tolist()
    assert all(name.startswith("rare/alp") for name in store.column("source")[12:])
    assert {tuple(row) for row in store.column("labels")[12:, :2]} == set(RARE)
    assert store.column("weight").tolist() == [1.0] * 12 + [4.0] * 3
    assert np.array_equal(store.wavelength, alone.wavelength)
    assert np.array_equal(store.read(0, 12), alone.read(0, 12))


def test_a_grid_without_extra_folders_has_no_weights_and_a_recipe_without_them(folders: Path) -> None:
    store = opened(ingest(experiment(folders)))
    assert not store.has("weight")
    assert set(store.attributes["recipe"]["grid"]) == {"format", "cut", "on_error", "step_kms", "resolution"}


def test_extra_templates_are_drawn_as_often_as_their_weight_says(folders: Path) -> None:
    sizes = {"n_train": 400, "n_valid": 40, "n_test": 40, "workers": 1, "shard_rows": 128}
    config = experiment(folders, grid={"extra": [extra(folders / "rare")]}, augment=sizes)
    claim(config)
    grid = opened(ingest(config))
    augment(config)
    seen: set[int] = set()
    for name in ("train", "valid", "test"):
        template = open_store(config.store(name), made_by="augment").column("template")
        own, counts = np.unique(template, return_counts=True)
        weight = grid.column("weight")[own]
        assert np.abs(counts - template.size * weight / weight.sum()).max() < 1
        assert not seen & set(own.tolist())
        seen |= set(own.tolist())
    assert seen == set(range(15))


def test_a_template_that_the_grid_has_too_is_refused_with_both_files(folders: Path) -> None:
    twin = write_intrigoss(folders / "rare", template(teff=5000.0, logg=4.0))
    with pytest.raises(GridFormatError) as caught:
        ingest(experiment(folders, grid={"extra": [extra(folders / "rare")]}))
    assert f"{twin}: has the same labels" in str(caught.value)
    assert f"as {folders / 'grid' / twin.name}; keep one of the two" in str(caught.value)
    config = experiment(folders, grid={"extra": [extra(folders / "rare")], "on_error": "skip"})
    store = opened(ingest(config))
    assert len(store) == 15
    assert list(store.attributes["left_out"]) == [f"rare/{twin.name}"]


def test_cuts_hold_for_their_own_folder_alone(folders: Path) -> None:
    rare = extra(folders / "rare", cut={"teff": [6600, 8000]})
    store = opened(ingest(experiment(folders, grid={"cut": {"teff": [4400, 5100]}, "extra": [rare]})))
    assert sorted(store.column("labels")[:, 0]) == [4500.0] * 3 + [5000.0] * 3 + [6750.0, 7000.0]


@pytest.mark.parametrize("weight", [5.0, 1.0])
def test_another_weight_is_another_grid(folders: Path, weight: float) -> None:
    ingest(experiment(folders, grid={"extra": [extra(folders / "rare")]}))
    with pytest.raises(StoreMismatchError, match=r"grid\.extra\.0\.weight: 4\.0 -> "):
        ingest(experiment(folders, grid={"extra": [extra(folders / "rare", weight=weight)]}))
    with pytest.raises(StoreMismatchError, match=r"grid\.extra"):
        ingest(experiment(folders))


def test_what_is_wrong_with_an_extra_folder_is_said_with_its_key(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingInputError, match=r"grid\.extra\[0\]\.path: there is no folder .*nowhere; set grid\.ext"):
        ingest(experiment(folders, grid={"extra": [extra(folders / "nowhere")]}))
    with pytest.raises(GridFormatError, match=r"rare: all 3 templates lie outside grid\.extra\[0\]\.cut; widen it"):
        ingest(experiment(folders, grid={"extra": [extra(folders / "rare", cut={"teff": [1000, 2000]})]}))
    tied = type("Tied", (Intrigoss,), {"label_names": lambda self, folder: ("teff", "logg", "feh")})()
    monkeypatch.setitem(READERS, "intrigoss", tied)
    with pytest.raises(ConfigError, match=r"grid\.extra\[0\]\.cut\.afe: the grid in .*rare .* does not vary afe"):
        ingest(experiment(folders, grid={"extra": [extra(folders / "rare", cut={"afe": [0, 1]})]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 0}, "grid.extra.0.weight: Input should be greater than 0"),
        ({"weigth": 2}, "grid.extra.0.weigth: unknown key; did you mean 'weight'?"),
        ({"path": "g/grid"}, "grid: extra[0].path: is grid.path itself"),
    ],
)
def test_faults_in_the_configuration_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    entry = {"format": "intrigoss", "path": "rare", **changes}
    lines = "".join(f"      {key}: {value}\n" for key, value in entry.items())
    path = tmp_path / "c.yaml"
    path.write_text(f"name: a\nrun_dir: run\ngrid:\n  format: intrigoss\n  path: g/grid\n  extra:\n    -\n{lines}")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in str(caught.value)


def test_two_extra_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"extra\[1\]\.path: another extra folder is called 'rare', too"):
        experiment(tmp_path, grid={"extra": [extra(tmp_path / "a" / "rare"), extra(tmp_path / "b" / "rare")]})


def test_folders_of_formats_with_other_labels_cannot_join(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"format": "tied", "label_names": lambda self, folder: ("teff", "logg", "feh")}
    reader = type("Tied", (Intrigoss,), names)()
    monkeypatch.setitem(READERS, "tied", reader)
    config = experiment(folders, grid={"extra": [extra(folders / "rare")]})
    other = config.grid.extra[0].model_copy(update={"format": "tied"})
    config = config.model_copy(update={"grid": config.grid.model_copy(update={"extra": (other,)})})
    with pytest.raises(
        ConfigError, match=r"grid\.extra\[0\]: the grid in .*rare varies teff, logg, feh, but the one in"
    ):
        ingest(config)
