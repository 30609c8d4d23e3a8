"""How far a run is, told from files that somebody else may be writing."""

import io
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch.submissions import ChainJob, Submission, note, note_chain
from starnet_hpc.stores import Layout
from starnet_hpc.stores.markers import marker_path
from tests.augment.cases import experiment, write_grid
from tests.launch.fakeslurm import FakeSlurm, fake
from tests.stores.cases import build
from tests.support import start, wait_until

__all__ = ["fake"]  # a fixture

LAYOUT = Layout(rows=50, pixels=40, shard_rows=16)  # four shards, the last of two rows


@pytest.fixture
def ready(tmp_path: Path) -> ExperimentConfig:
    config = experiment(tmp_path / "run", train={"epochs": 10}, ensemble={"members": 2}, predict={"shard_rows": 20})
    write_grid(config)
    return config


def told(config: ExperimentConfig, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["status", str(config.run_dir / "config.yaml"), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def date(path: Path, seconds: float, now: float | None = None) -> None:
    """Let a file have been written so many seconds before now."""
    os.utime(path, ((now or time.time()) - seconds,) * 2)


def test_a_run_that_was_never_started_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"name: small\nrun_dir: {tmp_path / 'run'}\ngrid: {{format: intrigoss, path: grid}}\n")
    assert main(["status", str(config)]) == 1
    assert "nothing was started yet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_looking_changes_nothing(ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in ready.run_dir.rglob("*")}
    found = told(ready, capsys)
    assert main(["status", str(ready.run_dir / "config.yaml")]) == 0
    assert "grid.zarr" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in ready.run_dir.rglob("*")} == before
    assert found["stores"]["grid.zarr"]["state"] == "complete"
    assert [found["stores"][f"{name}.zarr"]["state"] for name in SPLITS] == ["absent"] * 3
    assert [part["state"] for part in found["members"].values()] == ["absent"] * 2


def test_an_interrupted_build_has_the_pace_of_its_last_run_alone(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ready.store("train")
    build(path, LAYOUT, at_most=3)
    now = time.time()
    date(marker_path(path, 0), 5000, now)
    date(ready.run_dir / ".train.zarr.lock", 50, now)
    date(marker_path(path, 1), 30, now)
    date(marker_path(path, 2), 10, now)
    train = told(ready, capsys)["stores"]["train.zarr"]
    assert (train["state"], train["done"], train["total"], train["rows"]) == ("unfinished", 3, 4, 48)
    assert train["rate"] == pytest.approx(32 / 40, rel=1e-3)
    assert train["left_s"] == pytest.approx(2 / (32 / 40), rel=1e-3)
    assert 10 <= train["last_s"] < 60
    for shard in range(3):
        date(marker_path(path, shard), 7200)
    date(ready.run_dir / ".train.zarr.lock", 7300)
    silent = told(ready, capsys)["stores"]["train.zarr"]
    assert silent["left_s"] is None
    assert "`starnet-hpc augment CONFIG` goes on" in silent["note"]


def test_stores_that_one_stage_makes_share_its_pace(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    for name, count in (("train", 4), ("valid", 1), ("test", 0)):
        build(ready.store(name), LAYOUT, at_most=count)
        date(ready.run_dir / f".{name}.zarr.lock", 33, now)
    for shard in range(4):
        date(marker_path(ready.store("train"), shard), 20 - shard, now)
    date(marker_path(ready.store("valid"), 0), 0, now)
    found = told(ready, capsys)["stores"]
    assert found["train.zarr"]["state"] == "complete"
    rate = (50 + 16) / 33
    assert [found[f"{name}.zarr"]["rate"] for name in ("valid", "test")] == [pytest.approx(rate, rel=1e-3)] * 2
    assert found["valid.zarr"]["left_s"] == pytest.approx(34 / rate, rel=1e-3)
    assert found["test.zarr"]["left_s"] == pytest.approx(84 / rate, rel=1e-3)


def test_a_build_can_be_watched_while_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = experiment(tmp_path / "run", augment={"n_train": 3072})
    write_grid(config)
    train = config.store("train")
    running = start("-m", "starnet_hpc.augment", config.run_dir / "config.yaml")
    try:
        wait_until(lambda: running.poll() is not None or marker_path(train, 3).exists(), "four shards are there", 60)
        os.kill(running.pid, signal.SIGSTOP)
        found = told(config, capsys)["stores"]
        assert found["train.zarr"]["state"] == "unfinished"
        assert 4 <= found["train.zarr"]["done"] < 192
        assert found["train.zarr"]["rate"] > 0
        assert found["train.zarr"]["left_s"] < found["test.zarr"]["left_s"]
        assert (found["test.zarr"]["state"], found["test.zarr"]["done"]) == ("unfinished", 0)
        os.kill(running.pid, signal.SIGCONT)
        assert running.communicate(timeout=60)[1]
    finally:
        running.kill()
    found = told(config, capsys)["stores"]
    assert [found[f"{name}.zarr"]["state"] for name in SPLITS] == ["complete"] * 3
    assert found["train.zarr"]["rows"] == 3072


def test_half_written_things_count_as_not_there(ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]) -> None:
    path = ready.store("train")
    build(path, LAYOUT, at_most=2)
    (marker_path(path, 2).with_name(".shard-000002.json.0a.partial")).write_text("{")
    (path / "flux" / "c" / "2").mkdir(parents=True)
    ready.store("test").mkdir()
    (ready.store("test") / "zarr.json").write_text('{"zarr_for')
    folder = ready.member_dir(0)
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("epoch,train_loss,valid_loss,seconds\n1,0.5,0.25,3\n2,0.4")
    units = ready.run_dir / "predictions" / "train"
    units.mkdir(parents=True)
    found = told(ready, capsys)
    assert found["stores"]["train.zarr"]["done"] == 2
    assert found["stores"]["test.zarr"]["state"] == "unreadable"
    assert "cannot be read" in found["stores"]["test.zarr"]["note"]
    assert (found["members"]["member 00"]["epoch"], found["members"]["member 00"]["best_valid_loss"]) == (1, 0.25)


def write_history(folder: Path, columns: dict[str, list[float]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (folder / "history.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")


HISTORY: dict[str, list[float]] = {
    "epoch": [1, 2, 3],
    "train_loss": [-0.6, -1.4, -1.9],
    "valid_loss": [-0.5, -1.5, -1.0],
    "seconds": [98, 9, 9],
    "valid_seconds": [1, 1, 1],
    "restarts": [0, 0, 2],
}


def test_members_tell_epoch_losses_restarts_and_time_left(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    for member in (0, 1):
        write_history(ready.member_dir(member), HISTORY)
    (ready.member_dir(1) / "best.pt").touch()
    found = told(ready, capsys)["members"]
    going, trained = found["member 00"], found["member 01"]
    assert (going["state"], going["epoch"], going["restarts"]) == ("unfinished", 3, 2)
    assert (going["train_loss"], going["valid_loss"]) == (-1.9, -1.0)
    assert (going["best_valid_loss"], going["best_epoch"]) == (-1.5, 2)
    assert (going["total"], going["left_s"]) == (10, 70)
    assert going["note"] == "loss -1.900 train, -1.000 valid; best -1.5000 in epoch 2; restarts: 2"
    assert (trained["state"], trained["trained"], trained["left_s"]) == ("complete", True, None)
    date(ready.member_dir(0) / "history.csv", 9000)
    assert "`starnet-hpc ensemble CONFIG` goes on" in told(ready, capsys)["members"]["member 00"]["note"]


def test_members_that_are_not_trained_tell_which_slurm_jobs_they_are(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    (ready.run_dir / "jobs").mkdir()
    note(ready.run_dir / "jobs", {member: Submission(f"12_{member}", 4, "recipe") for member in (0, 1)})
    write_history(ready.member_dir(1), HISTORY)
    (ready.member_dir(1) / "best.pt").touch()
    found = told(ready, capsys)["members"]
    assert [(part["state"], part["job"]) for part in found.values()] == [("absent", "12_0"), ("complete", None)]
    assert found["member 00"]["note"] == "Slurm job 12_0"


@pytest.mark.parametrize("lacking", ["not there", "nan"])
def test_histories_of_an_earlier_version_are_still_read(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    new = ("valid_seconds", "restarts")
    old = {name: values for name, values in HISTORY.items() if lacking == "nan" or name not in new}
    write_history(ready.member_dir(0), {**old, **(dict.fromkeys(new, [float("nan")] * 3) if lacking == "nan" else {})})
    found = told(ready, capsys)["members"]["member 00"]
    assert (found["epoch"], found["valid_loss"], found["left_s"]) == (3, -1.0, 63)
    assert found["restarts"] is None


def test_units_of_an_earlier_prediction_do_not_count(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    build(ready.store("test"), LAYOUT)
    folder = ready.run_dir / "predictions" / "test"
    folder.mkdir(parents=True)
    for unit, recipe, age in ((0, "new", 5), (1, "old", 500), (2, "old", 400)):
        content = io.BytesIO()
        np.savez(content, recipe=np.array(recipe))
        (folder / f"unit-{unit:06d}.npz").write_bytes(content.getvalue())
        date(folder / f"unit-{unit:06d}.npz", age)
    (folder / "unit-000003.npz").write_bytes(b"PK\3\4")
    found = told(ready, capsys)["predictions"]
    assert (found["predict test"]["state"], found["predict test"]["done"]) == ("unfinished", 1)
    assert found["predict test"]["total"] == 3
    assert found["predict valid"]["total"] is None


def test_a_finished_run_is_complete(ready: ExperimentConfig, capsys: pytest.CaptureFixture[str]) -> None:
    augment(ready)
    found = told(ready, capsys)["stores"]
    assert {part["state"] for part in found.values()} == {"complete"}
    assert all(part["left_s"] is None for part in found.values())
    assert found["train.zarr"]["rows"] == 96


def chain(config: ExperimentConfig) -> None:
    """Note two jobs of the chain, the second waiting for the first."""
    folder = config.run_dir / "jobs"
    folder.mkdir()
    log = folder / "predict.log"
    log.write_text("predict: error: members/01/best.pt is not there\n")
    common = {"member": None, "token": "t", "recipe": "r", "submitted": "2026-11-25"}
    first = ChainJob(stage="predict", job="7", after=(), log=str(log), **common)
    note_chain(folder, first, ChainJob(stage="evaluate", job="8", after=("7",), log=str(log), **common))


def test_jobs_of_the_chain_are_told_with_why_they_wait_or_failed(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str], fake: FakeSlurm
) -> None:
    chain(ready)
    (fake.folder / "queue").write_text("7|RUNNING|None|node3|t\n8|PENDING|Dependency||t\n")
    jobs = told(ready, capsys)["jobs"]
    assert (jobs["predict"]["state"], jobs["predict"]["nodes"]) == ("RUNNING", "node3")
    assert jobs["evaluate"]["note"] == "waits for predict"
    fake.says("7", "FAILED")
    fake.says("8", "CANCELLED")
    jobs = told(ready, capsys)["jobs"]
    assert "members/01/best.pt is not there" in jobs["predict"]["note"]
    assert "cannot begin, because predict (job 7) ended FAILED" in jobs["evaluate"]["note"]
    assert main(["status", str(ready.run_dir / "config.yaml")]) == 0
    assert "ended FAILED" in " ".join(capsys.readouterr().out.split())


def test_without_slurm_the_files_are_told_all_the_same(
    ready: ExperimentConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(ready)
    monkeypatch.setenv("PATH", str(ready.run_dir))
    found = told(ready, capsys)
    assert found["stores"]["grid.zarr"]["state"] == "complete"
    assert found["jobs"]["predict"]["state"] == "?"
