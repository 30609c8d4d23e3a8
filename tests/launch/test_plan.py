"""What a run will write and take, told before anything is written."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from starnet_hpc import parallel
from starnet_hpc.augment import augment
from starnet_hpc.cli import main
from starnet_hpc.config import ClusterConfig, ExperimentConfig, load_config
from starnet_hpc.grids import TemplateSpectrum, write_intrigoss
from starnet_hpc.ingest import ingest
from starnet_hpc.launch import plan
from starnet_hpc.launch.planlearning import warnings
from starnet_hpc.launch.rundir import claim
from starnet_hpc.launch.words import bytes_in_words, time_in_words
from starnet_hpc.observe import observe
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.stores.markers import marker_path
from tests.augment.cases import INSTRUMENT, closed_form
from tests.observe.cases import write_stars

NAMES = ("grid", "train", "valid", "test", "survey")
WAVELENGTH = 5143.0 + 0.018 * np.arange(3001)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 100 templates and of 5 observed stars, for reading only."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "grid").mkdir()
    for k in range(100):
        unit = k * np.array([0.01, 0.755, 0.57, 0.82]) % 1.0
        labels = np.array([4000.0, 1.0, -2.0, 0.0]) + unit * np.array([3000.0, 4.0, 2.0, 0.4])
        named = dict(zip(("teff", "logg", "feh", "afe"), labels.tolist(), strict=True))
        flux = closed_form(WAVELENGTH, labels).astype(np.float32)
        write_intrigoss(folder / "grid", TemplateSpectrum(WAVELENGTH, flux, named, ""))
    write_stars(folder / "observed", 5, 5145.0 + 0.02 * np.arange(2600))
    return folder


@pytest.fixture
def config(inputs: Path, tmp_path: Path) -> Path:
    """An experiment that was not begun."""
    data = {
        "name": "small",
        "run_dir": str(tmp_path / "run"),
        "grid": {"format": "intrigoss", "path": str(inputs / "grid")},
        "instrument": INSTRUMENT,
        "augment": {"n_train": 300, "n_valid": 40, "n_test": 50, "shard_rows": 32, "workers": 1},
        "survey": {"path": str(inputs / "observed"), "shard_rows": 2},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def told(config: Path, capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["plan", str(config), "--json", *options]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def on_disk(run_dir: Path, name: str) -> dict[str, int]:
    """Count what a store really takes, by another way than the package's."""
    roots = [run_dir / f"{name}.zarr", run_dir / f"{name}.markers", run_dir / f".{name}.zarr.lock"]
    entries = [entry for root in roots for entry in (root, *root.rglob("*"))]
    files = [entry for entry in entries if entry.is_file()]
    return {"bytes": sum(file.stat().st_size for file in files), "files": len(files), "inodes": len(entries)}


def run_all(config: Path) -> ExperimentConfig:
    loaded = load_config(config)
    claim(loaded)
    ingest(loaded)
    augment(loaded)
    observe(loaded)
    return loaded


def test_what_was_planned_is_what_is_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = told(config, capsys)
    assert not (config.parent / "run").exists()
    run_dir = run_all(config).run_dir
    for name in NAMES:
        real, store = on_disk(run_dir, name), planned["stores"][name]
        assert store["bytes"] == pytest.approx(real["bytes"], rel=0.02), name
        assert (store["files"], store["inodes"]) == (real["files"], real["inodes"]), name
    assert [planned["stores"][name]["rows"] for name in NAMES] == [100, 300, 40, 50, 5]
    assert [planned["stores"][name]["shards"] for name in NAMES] == [2, 10, 2, 2, 3]
    after = told(config, capsys)
    assert after["stages"] == {}
    assert after["disk"]["bytes_needed"] == 0
    assert all(after["stores"][name]["bytes"] == on_disk(run_dir, name)["bytes"] for name in NAMES)


def test_with_the_store_of_templates_the_grid_is_not_asked_for(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = told(config, capsys)
    claim(load_config(config))
    ingest(load_config(config))
    found = told(config, capsys, "--set", "grid.path=purged")
    assert set(found["stages"]) == {"augment", "observe"}
    assert found["stores"]["grid"]["rows_there"] == 100
    for name in ("train", "valid", "test"):
        assert found["stores"][name]["bytes"] == pytest.approx(before["stores"][name]["bytes"], rel=0.01)


def test_spectra_between_nodes_are_planned_with_and_without_the_store_of_templates(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--set",
        "augment.between_nodes=linear",
        "--set",
        "augment.between_nodes_reach=100",
        "--set",
        "survey=null",
    )
    early = told(config, capsys, *options)
    assert any("plan again after `ingest`" in line for line in early["told"])
    loaded = load_config(config, options[1::2])
    claim(loaded)
    ingest(loaded)
    planned = told(config, capsys, *options)
    augment(loaded)
    real = on_disk(loaded.run_dir, "train")
    assert planned["stores"]["train"]["bytes"] == pytest.approx(real["bytes"], rel=0.02)
    assert planned["stores"]["train"]["inodes"] == real["inodes"]
    assert early["stores"]["train"]["bytes"] == pytest.approx(real["bytes"], rel=0.05)


def test_of_a_build_that_was_begun_only_the_rest_is_planned(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = run_all(config)
    store = loaded.store("train")
    attributes = json.loads((store / "zarr.json").read_text())
    attributes["attributes"]["complete"] = False
    (store / "zarr.json").write_text(json.dumps(attributes))
    for shard in (3, 4):
        marker_path(store, shard).unlink()
        shard_file(store, shard).unlink()
    found = told(config, capsys)
    assert found["stages"]["augment"]["items"] == 64
    assert found["stores"]["train"]["rows_there"] == 236
    lost = found["stores"]["train"]["bytes"] - found["stores"]["train"]["bytes_there"]
    assert lost == pytest.approx(64 * 800 * 2, rel=0.05)


def test_templates_inside_the_cut_are_estimated_from_a_sample(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--set", "survey=null", "--set")
    found = told(config, capsys, *options, "grid.cut.teff=[4000, 5500]")["stores"]["grid"]  # 51 of the 100
    assert not found["exact"]
    assert found["rows"] == pytest.approx(51, abs=8)  # 72 were tried
    few = told(config, capsys, *options, "grid.cut.teff=[4095, 4185]")["stores"]["grid"]  # too few for a sample
    assert (few["rows"], few["exact"]) == (3, True)


def test_what_does_not_fit_is_an_error_behind_the_plan(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = plan.make_plan(load_config(config, ["survey=null"]), config.parent)
    monkeypatch.setattr(plan, "make_plan", lambda *_: once)
    needed = told(config, capsys)["disk"]
    assert needed["fits"]
    for free, inodes, told_of in ((needed["bytes_needed"] - 1, None, "are to be written"), (10**12, 20, "20 inodes")):
        disk = plan.Disk(config.parent, free, 4096, inodes)
        monkeypatch.setattr(plan, "disk_of", lambda _, disk=disk: disk)
        assert main(["plan", str(config)]) == 1
        said = capsys.readouterr()
        assert told_of in said.err
        assert "train.zarr" in said.out
        assert not told(config, capsys, code=1)["disk"]["fits"]
    monkeypatch.setattr(plan, "disk_of", lambda _: plan.Disk(config.parent, needed["bytes_needed"], 4096, None))
    assert told(config, capsys)["disk"]["fits"]


def test_times_are_those_of_the_workers_that_will_work(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 64)
    found = told(config, capsys, "--set", "augment.workers=null", "--set", "survey=null")["stages"]
    assert (found["augment"]["workers"], found["ingest"]["workers"]) == (64, 1)  # for 100 files one process is enough
    for stage, processes, waves in ((found["ingest"], 1, 1), (found["augment"], 2, 2)):
        work, start = stage["items"] * stage["cpu_s"], stage["start_s"]
        assert stage["core_hours"] * 3600 == pytest.approx(work + processes * start)
        assert stage["wall_s"] == pytest.approx(work / stage["workers"] + waves * start)
        assert work > 0
        assert 0.2 < start < 60.0


def test_how_many_workers_a_scheduler_elsewhere_has_is_not_known(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(load_config(config))
    ingest(load_config(config))
    options = ("--set", "augment.scheduler=tcp://host:8786", "--set", "survey=null")
    elsewhere = told(config, capsys, *options)["stages"]["augment"]
    assert (elsewhere["workers"], elsewhere["wall_s"]) == (None, None)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", "grid.path=nowhere"], 1, "grid.path: there is no folder"),
        (["--set", "survey.path=nowhere"], 1, "survey.path: there is no folder"),
        (["--set", "augment.n_trian=5"], 2, "n_train"),
        (["--set", "instrument=uves_4835_5395"], 1, "covers"),
    ],
)
def test_what_would_stop_a_stage_stops_the_plan(
    config: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert main(["plan", str(config), *options]) == code
    assert message in capsys.readouterr().err
    assert not (config.parent / "run").exists()


def test_a_run_directory_of_others_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "run").mkdir()
    (config.parent / "run" / "thesis.tex").touch()
    assert main(["plan", str(config)]) == 1
    assert "thesis.tex" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (7_109_427_443, "7.11 GB"), (2e15, "2e+03 TB")]
)
def test_bytes_have_three_digits(count: float, words: str) -> None:
    assert bytes_in_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (12_000, "3 h 20 min"), (190_800, "2 d 5 h")]
)
def test_times_are_told_as_people_do(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words


# --- training and prediction ------------------------------------------------------------------------------------------


def test_training_and_prediction_are_measured_and_what_is_trained_is_left_out(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    options = ("--set", "survey=null", "--set", "ensemble.members=3", "--set", "train.epochs=5")
    options += ("--set", "train.batch_size=10", "--set", "ensemble.parallel=2")
    found = told(config, capsys, *options)["learning"]
    training, prediction, report = found["ensemble"], found["predict"], found["evaluate"]
    # 30 steps an epoch, and four batches of validation spectra at a third of a step each.
    assert training["items"] == 3 * 5 * (30 + 2)
    assert prediction["items"] == 40 + 50
    start = training["start_s"]
    assert 0.2 < start < 60.0
    # Two at a time: two rounds, in the second of which a core has nothing to do.
    assert training["core_hours"] * 3600 == pytest.approx(training["items"] * training["seconds"] + 4 * start)
    assert training["wall_s"] == pytest.approx(2 * training["items"] / 3 * training["seconds"] + 2 * start)
    assert prediction["seconds"] > 0
    assert report["items"] > 10
    assert report["wall_s"] == pytest.approx(report["items"] * report["seconds"] + report["start_s"])
    run = load_config(config, options[1::2])
    claim(run)
    for member in range(3):
        run.member_dir(member).mkdir(parents=True)
        (run.member_dir(member) / "best.pt").touch()
    assert set(told(config, capsys, *options)["learning"]) == {"predict", "evaluate"}


@pytest.mark.parametrize(
    ("cluster", "warning"),
    [
        ({"scratch": "/elsewhere"}, "run_dir .* is not below /elsewhere"),
        ({"quota_gb": 1e-6}, r"are to be written, but cluster\.quota_gb is 1e-06"),
        ({"quota_files": 3}, r"files and folders are to be made, but cluster\.quota_files is 3"),
    ],
)
def test_what_a_cluster_has_no_room_for_is_warned_of(
    config: Path, tmp_path: Path, cluster: dict[str, object], warning: str
) -> None:
    checked = load_config(config)
    asked = checked.model_copy(update={"cluster": ClusterConfig.model_validate(cluster)})
    assert warnings(checked, 10**6, 40, {}) == []
    (told_of,) = warnings(asked, 10**6, 40, {})
    assert re.search(warning, told_of)


def test_jobs_that_will_not_end_in_their_time_or_their_memory_are_warned_of(config: Path) -> None:
    data = yaml.safe_load(config.read_text()) | {
        "ensemble": {"executor": "slurm"},
        "train": {"residency": "host"},
        "cluster": {"time": 30, "mem_gb": 1, "predict": {"time": 300}},
    }
    asked = ExperimentConfig.model_validate(data)
    walls = {"ingest": 1000.0, "augment": 1000.0, "ensemble": 1700.0, "predict": 7200.0}
    time_of_stores, memory = warnings(asked, 0, 0, walls)
    assert "prepare: some 33 min" in time_of_stores
    assert "ends after 30 minutes" in time_of_stores
    assert re.search(r"need some 3 GB a node, but cluster\.mem_gb is 1", memory)
