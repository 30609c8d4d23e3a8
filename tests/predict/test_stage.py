"""Prediction by one process: units, reruns, damage, and what does not matter."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.table import Table

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, PredictionError, StoreMismatchError
from starnet_hpc.predict import predict
from starnet_hpc.stores import open_store
from tests import support


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=70)


def times(config: ExperimentConfig) -> dict[str, int]:
    found = [*config.run_dir.glob("*catalogue.*"), *(config.run_dir / "predictions").rglob("*.*")]
    return {str(path.relative_to(config.run_dir)): path.stat().st_mtime_ns for path in found}


def changed(config: ExperimentConfig, **changes: object) -> ExperimentConfig:
    return config.model_copy(update={"predict": config.predict.model_copy(update=changes)})


def shard_file(config: ExperimentConfig, shard: int) -> Path:
    return config.store("survey") / "flux" / "c" / str(shard) / "0"


@pytest.mark.parametrize("sizes", [(16, 32), (7, 32), (64, 11), (1, 70)])
def test_labels_do_not_depend_on_batches_or_units(config: ExperimentConfig, sizes: tuple[int, int]) -> None:
    (path,) = predict(config)
    usual = Table.read(path)
    (path,) = predict(changed(config, batch_size=sizes[0], shard_rows=sizes[1]))
    other = Table.read(path)
    assert list(usual["id"]) == list(other["id"])
    for name in support.LABELS:
        sigma = np.asarray(usual[f"{name}_err"])
        for part in ("", "_err", "_aleatoric", "_epistemic"):
            assert (np.abs(other[name + part] - usual[name + part]) < 1e-4 * sigma).all()


def test_a_second_run_finds_everything_done_and_writes_nothing(config: ExperimentConfig) -> None:
    predict(config)
    before = times(config)
    assert {"catalogue.fits", "catalogue.parquet"} < set(before)
    predict(config)
    assert times(config) == before


@pytest.mark.parametrize("lost", ["catalogue.fits", "catalogue.parquet"])
def test_a_lost_catalogue_is_joined_again_from_the_units(config: ExperimentConfig, lost: str) -> None:
    predict(config)
    before, content = times(config), (config.run_dir / lost).read_bytes()
    (config.run_dir / lost).unlink()
    predict(config)
    assert (config.run_dir / lost).read_bytes() == content
    assert {name: time for name, time in times(config).items() if "unit" in name} == {
        name: time for name, time in before.items() if "unit" in name
    }


def test_a_member_that_was_trained_again_makes_a_new_catalogue(config: ExperimentConfig) -> None:
    (path,) = predict(config)
    before = Table.read(path)
    old = torch.load(config.member_dir(1) / "best.pt", weights_only=True)
    support.write_member(config, 1, seed=77)
    # Of the same recipe, but by another machine or other processes: not the same weights.
    new = torch.load(config.member_dir(1) / "best.pt", weights_only=True)
    torch.save({**new, "digest": old["digest"]}, config.member_dir(1) / "best.pt")
    predict(config)
    after = Table.read(path)
    assert (before["teff"] != after["teff"]).all()
    assert before.meta["MEMBERS"] != after.meta["MEMBERS"]


@pytest.mark.parametrize("damage", ["truncated", "garbage", "other recipe"])
def test_a_damaged_unit_is_predicted_again(config: ExperimentConfig, damage: str) -> None:
    (path,) = predict(config)
    content = path.read_bytes()
    unit = config.run_dir / "predictions" / "survey" / "unit-000001.npz"
    if damage == "other recipe":
        with np.load(unit) as saved:
            np.savez(unit, **{**saved, "recipe": np.array("other"), "mean": saved["mean"] + 1})
    else:
        unit.write_bytes(unit.read_bytes()[:100] if damage == "truncated" else b"PK\x03\x04 no archive")
    path.unlink()
    predict(config)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["truncated", "removed", "spoilt"])
def test_a_damaged_shard_makes_no_catalogue_and_a_rerun_does_only_what_is_missing(
    config: ExperimentConfig, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    whole = shard_file(config, 1).read_bytes()
    if damage == "removed":
        shard_file(config, 1).unlink()
    else:  # the end of a shard is its index, which has a checksum
        shard_file(config, 1).write_bytes(whole[:-100] + (b"spoilt" * 20)[: 100 if damage == "spoilt" else 0])
    command = ["predict", str(config.run_dir / "config.yaml")]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert told.count("error:") == 1
    assert "survey.zarr" in told
    assert not config.catalogue("survey").exists()
    shard_file(config, 1).write_bytes(whole)
    before = {name: time for name, time in times(config).items() if "unit" in name}
    if damage == "spoilt":  # seen only when it is read, and no reason to stop the others
        assert "rows 0-31 of" in told  # the unit of rows 0 to 31 has rows of the store's shard 1, 16 to 31
        assert set(before) == {f"predictions/survey/unit-00000{unit}.npz" for unit in (1, 2)}
    assert main(command) == 0
    assert before.items() <= times(config).items()
    reference = support.ready_to_predict(config.run_dir.parent / "reference", survey=70)
    (path,) = predict(reference)
    assert config.catalogue("survey").read_bytes() == path.read_bytes()


def test_members_for_other_pixels_are_refused(config: ExperimentConfig) -> None:
    arm = {"start": 5150.01, "step": 0.03, "count": support.PIXELS}
    other = support.experiment(
        config.run_dir,
        instrument={"name": "tiny", "arms": [arm], "resolution": 20_000},
        survey={"path": str(config.run_dir), "frame": "rest"},
    )
    shutil.rmtree(config.store("survey"))
    shutil.rmtree(config.store("survey").with_suffix(".markers"), ignore_errors=True)
    support.write_store(other, "survey", 20, key=3)
    with pytest.raises(StoreMismatchError, match="different pixels"):
        predict(other)


def test_nothing_to_predict_and_no_survey_are_said(tmp_path: Path) -> None:
    config = support.ready_to_predict(tmp_path / "run", survey=16)
    shutil.rmtree(config.store("survey"))
    with pytest.raises(MissingInputError, match=r"survey\.zarr.*starnet-hpc observe"):
        predict(config)
    with pytest.raises(MissingInputError, match="nothing to predict"):
        predict(config.model_copy(update={"survey": None}))


def test_identifiers_that_come_twice_are_refused(config: ExperimentConfig) -> None:
    assert open_store(config.store("survey"), made_by="observe").has("id")
    shutil.rmtree(config.store("survey"))
    shutil.rmtree(config.store("survey").with_suffix(".markers"), ignore_errors=True)
    columns = {"id": np.array(["a", "b", "a"]), "snr": np.full(3, 50.0)}
    support.write_rows(config, "survey", np.ones((3, support.PIXELS)), columns)
    with pytest.raises(PredictionError, match="not unique"):
        predict(config)
    assert not config.catalogue("survey").exists()


def test_stores_of_other_grids_get_catalogues_of_their_own(tmp_path: Path) -> None:
    other = support.ready_to_predict(tmp_path / "other", survey=16, test=40)
    paths = {"alternate": str(other.store("test")), "own": str(tmp_path / "run" / "test.zarr")}
    config = support.ready_to_predict(tmp_path / "run", survey=16, test=40, predict={"other_tests": paths})
    names = [path.name for path in predict(config)]
    assert names == ["test_catalogue.fits", "catalogue.fits", "alternate_catalogue.fits", "own_catalogue.fits"]
    own, again = (Table.read(config.catalogue(name)) for name in ("test", "own"))
    assert (own["teff"] == again["teff"]).all()
    assert (
        Table.read(config.catalogue("alternate")).meta["INPUTDIG"]
        == open_store(other.store("test"), made_by="").content_digest
    )
    assert not other.catalogue("test").exists()


def test_a_store_of_another_grid_that_is_not_there_is_told(tmp_path: Path) -> None:
    paths = {"alternate": str(tmp_path / "nowhere.zarr")}
    config = support.ready_to_predict(tmp_path / "run", survey=16, predict={"other_tests": paths})
    with pytest.raises(MissingInputError, match=r"nowhere\.zarr"):
        predict(config)
