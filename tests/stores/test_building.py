"""A store is complete only when all of it is there, and is taken up again where it was left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.errors import (
    MissingInputError,
    RunDirectoryBusyError,
    StoreDamagedError,
    StoreIncompleteError,
    StoreMismatchError,
)
from starnet_hpc.stores import Layout, Store, building, finished, is_complete, write_shard
from tests.stores.cases import LAYOUT, RECIPE, build, fluxes, read


def marker(path: Path, shard: int) -> Path:
    return path.with_suffix(".markers") / f"shard-{shard:06d}.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.zarr"


def test_a_store_that_is_not_there_names_the_command_that_makes_it(path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"train\.zarr: no such store; make it first with `starnet-hpc augment"):
        read(path)
    assert not is_complete(path)


def test_an_unfinished_store_is_refused_with_the_remedy(path: Path) -> None:
    build(path, at_most=3)
    assert not is_complete(path)
    with pytest.raises(StoreIncompleteError, match=r"was not finished \(3 of 4 .*`starnet-hpc augment CONFIG` again"):
        read(path)


def test_a_build_goes_on_where_it_was_left(path: Path, tmp_path: Path) -> None:
    assert build(path, at_most=1) == [0]
    assert build(path, at_most=2) == [1, 2]
    assert build(path) == [3]
    assert build(path) == []
    build(tmp_path / "at_once.zarr")
    assert read(path).content_digest == read(tmp_path / "at_once.zarr").content_digest


def test_another_flux_or_recipe_is_another_content(path: Path, tmp_path: Path) -> None:
    build(path)
    build(tmp_path / "flux.zarr", flux=fluxes(LAYOUT, seed=2))
    build(tmp_path / "recipe.zarr", recipe={**RECIPE, "seed": 1})
    digests = {read(p).content_digest for p in (path, tmp_path / "flux.zarr", tmp_path / "recipe.zarr")}
    assert len(digests) == 3


def test_another_recipe_is_refused_with_all_keys_that_differ(path: Path) -> None:
    build(path, at_most=1)
    other = {"stage": "augment 1", "seed": 7, "augment": {"noise_max": 0.1, "continuum": "none"}}
    with pytest.raises(StoreMismatchError) as caught:
        build(path, recipe=other)
    said = str(caught.value)
    assert "seed: 0 -> 7" in said
    assert "augment.noise_max: 0.07 -> 0.1" in said
    assert 'augment.continuum: null -> "none"' in said
    assert "choose another run_dir, or remove this store" in said
    with pytest.raises(StoreMismatchError, match="seed: 0 -> 7"):
        finished(path, {"seed": 7})


def test_finished_compares_only_the_part_of_the_recipe_that_is_known(path: Path) -> None:
    assert not finished(path, {"seed": 0})
    build(path, at_most=1)
    assert not finished(path, {"seed": 0})
    build(path)
    assert finished(path, {"seed": 0})


@pytest.mark.parametrize("torn", ["", "{", '{"recipe": "', "null", "[1]", '{"recipe": "of something else"}'])
def test_a_torn_or_foreign_marker_counts_as_missing(path: Path, torn: str) -> None:
    build(path, at_most=3)
    marker(path, 1).write_text(torn)
    assert build(path) == [1, 3]


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_shard_whose_file_is_lost_counts_as_missing(path: Path, damage: str) -> None:
    build(path, at_most=3)
    file = path / "flux" / "c" / "2" / "0"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert build(path) == [2, 3]


def test_a_finished_store_that_lost_a_file_is_not_read_as_nan(path: Path) -> None:
    build(path)
    (path / "flux" / "c" / "3" / "0").unlink()
    with pytest.raises(StoreDamagedError, match=r"shard 3 \(rows 48 to 49\) is missing or truncated; .*--mend"):
        read(path)


def test_single_rows_of_a_file_that_was_truncated_meanwhile_are_refused(path: Path) -> None:
    build(path, Layout(10, 20, 4, mapped=True))
    rows, file = read(path).mapped_rows(), path / "flux" / "c" / "1" / "0"
    assert rows[4].size == 20
    file.write_bytes(file.read_bytes()[:250])  # three rows and a bit of four
    assert rows[6].size == 20
    with pytest.raises(StoreDamagedError, match="shard 1"):
        rows[7]


def test_a_new_last_shard_keeps_nothing_of_a_damaged_one(path: Path, tmp_path: Path) -> None:
    build(path, at_most=4)
    file = path / "flux" / "c" / "3" / "0"
    whole = file.read_bytes()
    file.write_bytes(b"\x07" * len(whole))
    marker(path, 3).unlink()
    with building(path, recipe=RECIPE, layout=LAYOUT, wavelength=np.arange(40.0), columns={}, attributes={}) as store:
        write_shard(path, LAYOUT, store.recipe_digest, 3, fluxes(LAYOUT)[48:], {})
    assert file.read_bytes() == whole


def test_leftovers_of_a_killed_creation_are_cleared_away(path: Path) -> None:
    aside = path.with_name(".train.zarr.partial")
    for folder in (aside / "labels", path, path.with_suffix(".markers")):
        folder.mkdir(parents=True)
    (aside / "zarr.json").write_text("{")
    marker(path, 1).write_text("{}")
    assert build(path) == [0, 1, 2, 3]
    assert not aside.exists()


def test_files_that_killed_writers_left_are_removed_when_the_build_goes_on(path: Path) -> None:
    build(path, at_most=2)
    leftovers = [path / "flux" / "c" / "2" / "0.ab12.partial", marker(path, 2).with_name(".shard.json.cd34.partial")]
    for leftover in leftovers:
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_bytes(b"half")
    build(path)
    assert not any(leftover.exists() for leftover in leftovers)


def test_the_second_of_two_builders_is_told_and_the_first_goes_on(path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tests.stores.cases import build
from starnet_hpc.errors import RunDirectoryBusyError
try:
    build(Path({str(path)!r}))
except RunDirectoryBusyError as error:
    sys.exit(f"told: {{error}}")
"""

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    with building(path, recipe=RECIPE, layout=LAYOUT, wavelength=np.arange(40.0), columns={}, attributes={}) as store:
        write_shard(path, LAYOUT, store.recipe_digest, 0, fluxes(LAYOUT)[:16], {})
        said = other()
        assert said.returncode == 1
        assert said.stderr.startswith(f"told: {path}: another process is writing this store; wait for it, or stop it")
        assert store.missing() == [1, 2, 3]
    assert other().returncode == 0
    assert is_complete(path)


def test_a_lock_is_given_back_when_a_build_fails(path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        building(path, recipe=RECIPE, layout=LAYOUT, wavelength=np.arange(40.0), columns={}, attributes={}),
    ):
        raise ZeroDivisionError
    build(path)
    with (
        pytest.raises(RunDirectoryBusyError),
        building(path, recipe=RECIPE, layout=LAYOUT, wavelength=np.arange(40.0), columns={}, attributes={}),
    ):
        build(path)


def test_a_store_with_shards_missing_cannot_be_marked_complete(path: Path) -> None:
    with (
        building(path, recipe=RECIPE, layout=LAYOUT, wavelength=np.arange(40.0), columns={}, attributes={}) as store,
        pytest.raises(RuntimeError, match="shards missing"),
    ):
        store.finalise()
    assert not is_complete(path)


def test_facts_and_late_columns_are_in_the_order_of_rows(path: Path) -> None:
    with building(
        path,
        recipe=RECIPE,
        layout=LAYOUT,
        wavelength=np.arange(40.0),
        columns={"labels": np.zeros((50, 2))},
        attributes={"label_names": []},
    ) as store:
        for shard in (2, 0, 3, 1):
            rows = LAYOUT.rows_of(shard)
            write_shard(
                path, LAYOUT, store.recipe_digest, shard, fluxes(LAYOUT)[rows.start : rows.stop], {"rows": list(rows)}
            )
        order = [row for facts in store.facts() for row in facts["rows"]]
        store.finalise({"order": np.array(order)}, remark="late")
    found = read(path)
    assert found.column("order").tolist() == list(range(50))
    assert found.attributes["remark"] == "late"
    assert found.has("labels")
    assert not found.has("draws/snr")


@pytest.mark.parametrize(("shape", "kind"), [((16, 39), "float32"), ((15, 40), "float32"), ((16, 40), "float64")])
def test_only_whole_shards_of_the_stores_type_are_written(path: Path, shape: tuple[int, int], kind: str) -> None:
    build(path, at_most=0)
    with pytest.raises(ValueError, match=r"shard 0 needs \(16, 40\) float32"):
        write_shard(path, LAYOUT, "digest", 0, np.ones(shape, dtype=kind), {})


def test_metadata_that_cannot_be_read_is_named(path: Path) -> None:
    build(path)
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_')
    for action in (read, build, is_complete):
        with pytest.raises(StoreDamagedError, match=r"train\.zarr: its zarr\.json cannot be read .* remove this store"):
            action(path)


def test_a_store_of_a_later_version_is_refused(path: Path) -> None:
    build(path)
    text: dict[str, Any] = json.loads((path / "zarr.json").read_text())
    text["attributes"]["store_format"] = 99
    (path / "zarr.json").write_text(json.dumps(text))
    with pytest.raises(StoreMismatchError, match="later version of starnet_hpc"):
        read(path)


def test_a_store_tells_what_made_it(path: Path) -> None:
    build(path)
    store: Store = read(path)
    assert store.attributes["recipe"] == RECIPE
    assert {"starnet_hpc", "numpy", "zarr", "numba", "python"} <= set(store.attributes["software"])
    assert store.label_names == ("teff", "logg")
