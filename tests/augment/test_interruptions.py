"""Whatever ends `augment`, nothing left looks finished, and a rerun ends with the bits of an undisturbed run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StorageFullError
from starnet_hpc.stores import is_complete
from tests.augment.cases import experiment, same_stores, write_grid
from tests.disks import fill_up, small_disk
from tests.support import environment, wait_until

SPECTRA = {"n_train": 3072, "n_valid": 256, "n_test": 256}
SHARDS = 224


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    config = experiment(tmp_path_factory.mktemp("undisturbed") / "run", augment=SPECTRA)
    write_grid(config)
    augment(config)
    return config


@pytest.fixture
def disturbed(tmp_path: Path) -> ExperimentConfig:
    config = experiment(tmp_path / "run", augment=SPECTRA)
    write_grid(config)
    return config


def start(config: ExperimentConfig, *, workers: int) -> subprocess.Popen[str]:
    """Start `python -m starnet_hpc.augment` as the leader of a process group of its own, as a batch system does."""
    command = [sys.executable, "-m", "starnet_hpc.augment", str(config.run_dir / "config.yaml")]
    return subprocess.Popen(
        [*command, "--set", f"augment.workers={workers}"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def shards_done(config: ExperimentConfig) -> int:
    return sum(len(list((config.run_dir / f"{split}.markers").glob("shard-*.json"))) for split in SPLITS)


def wait_for_shards(config: ExperimentConfig, process: subprocess.Popen[str], count: int) -> None:
    wait_until(lambda: process.poll() is not None or shards_done(config) >= count, f"{count} shards are there", 60)
    assert process.poll() is None, process.communicate()[1]


def told(process: subprocess.Popen[str]) -> list[str]:
    """Return what an ended process said on standard error, without its timed lines."""
    return [line for line in process.communicate(timeout=60)[1].splitlines() if " INFO " not in line]


def test_a_killed_augment_is_finished_by_a_rerun_with_the_same_bits(
    disturbed: ExperimentConfig, undisturbed: ExperimentConfig
) -> None:
    """Killed with all its workers, then alone (its workers find out), then with all, each time further on."""
    for kill, workers, later in ((os.killpg, 2, 1), (os.kill, 2, 40), (os.killpg, 1, 60)):
        done = shards_done(disturbed)
        process = start(disturbed, workers=workers)
        wait_for_shards(disturbed, process, done + later)
        kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        assert not all(is_complete(disturbed.store(split)) for split in SPLITS)
    assert 100 < shards_done(disturbed) < SHARDS
    kept = {path: path.stat().st_mtime_ns for path in disturbed.run_dir.glob("*.markers/*.json")}
    augment(disturbed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # what was done was not done again
    assert same_stores(disturbed, undisturbed)
    assert not list(disturbed.run_dir.rglob("*.partial"))


@pytest.mark.parametrize(
    ("number", "workers", "message"),
    [
        (signal.SIGTERM, 2, "stopped by SIGTERM with"),
        (signal.SIGUSR1, 1, "stopped by SIGUSR1 with"),
        (signal.SIGINT, 2, "interrupted; run the same command again to go on"),
    ],
)
def test_a_signal_to_all_its_processes_ends_it_with_one_message_and_a_resumable_store(
    disturbed: ExperimentConfig, undisturbed: ExperimentConfig, number: signal.Signals, workers: int, message: str
) -> None:
    process = start(disturbed, workers=workers)
    wait_for_shards(disturbed, process, 5)
    os.killpg(process.pid, number)
    lines = told(process)
    assert process.returncode == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith("python -m starnet_hpc.augment: ")
    assert message in lines[0]
    assert lines[0].endswith("run the same command again to go on")
    assert 5 <= shards_done(disturbed) < SHARDS
    assert not is_complete(disturbed.store("test"))
    augment(disturbed)
    assert same_stores(disturbed, undisturbed)


def test_of_two_commands_at_once_the_second_is_told_and_the_first_finishes(
    disturbed: ExperimentConfig, undisturbed: ExperimentConfig
) -> None:
    first = start(disturbed, workers=1)
    wait_until(lambda: shards_done(disturbed) > 0 or first.poll() is not None, "the first begins")
    os.kill(first.pid, signal.SIGSTOP)  # so that it cannot finish before the second has even started
    second = start(disturbed, workers=1)
    lines = told(second)
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert len(lines) == 1
    assert "train.zarr: another process is writing this store; wait for it, or stop it first" in lines[0]
    assert told(first) == []
    assert first.returncode == 0
    assert same_stores(disturbed, undisturbed)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_it_with_one_message_and_a_rerun_completes_it(
    tmp_path: Path, finished_run: ExperimentConfig, workers: int
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        config = experiment(disk / "run")
        write_grid(config)
        ballast = fill_up(disk, leave=250_000)  # of the 330 KB that the three stores need
        process = start(config, workers=workers)
        lines = told(process)
        assert process.returncode == 1
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"python -m starnet_hpc.augment: error: {disk}/run/")
        assert "no space left on the disk" in lines[0]
        assert lines[0].endswith("free some space or move run_dir, then run the same command again")
        assert not all(is_complete(config.store(split)) for split in SPLITS)
        ballast.unlink()
        augment(config)
        assert same_stores(config, finished_run)


@pytest.mark.parametrize("leave", [0, 5_000, 30_000, 60_000, 100_000, 150_000, 200_000])
def test_however_little_space_there_is_nothing_looks_finished(
    tmp_path: Path, finished_run: ExperimentConfig, leave: int
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        config = experiment(disk / "run")
        write_grid(config)
        ballast = fill_up(disk, leave=leave)
        with pytest.raises((StorageFullError, OSError), match=r"[Nn]o space left"):
            augment(config)
        assert not is_complete(config.store("test"))
        ballast.unlink()
        augment(config)
        assert same_stores(config, finished_run)
