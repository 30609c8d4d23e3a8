"""`augment` on the ranks that mpiexec starts: the same stores, one voice, and nobody left waiting. Real MPI."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.draws import SPLITS
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError
from starnet_hpc.launch.chain import find_mpiexec
from starnet_hpc.stores import is_complete, open_store
from starnet_hpc.stores.layout import shard_file
from tests import support
from tests.augment.cases import experiment, same_stores, write_grid

MPI = ("--set", "augment.scheduler=mpi")


def start(ranks: int, config: ExperimentConfig, *words: str) -> subprocess.Popen[str]:
    mpiexec = find_mpiexec()
    assert mpiexec is not None, "there is no mpiexec"
    stage = [sys.executable, "-m", "starnet_hpc.augment", str(config.run_dir / "config.yaml"), *(words or MPI)]
    return subprocess.Popen(
        [mpiexec, "-n", str(ranks), *stage],
        env=support.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], limit_s: float = 60.0) -> tuple[int, str]:
    """Return exit code and all that was said, when all ranks have ended."""
    try:
        out, err = process.communicate(timeout=limit_s)
    finally:
        process.kill()
    return process.returncode, out + err


def complaints(said: str) -> list[str]:
    return [line for line in said.splitlines() if line and " INFO " not in line]


def test_ranks_write_what_one_process_writes(ready: ExperimentConfig, finished_run: ExperimentConfig) -> None:
    code, said = ended(start(4, ready))
    assert (code, complaints(said)) == (0, [])
    assert said.count("train.zarr: 96 spectra") == 1, "only one rank runs the stage"
    assert same_stores(ready, finished_run)


def test_a_task_that_fails_on_one_rank_ends_all_of_them_with_its_message(ready: ExperimentConfig) -> None:
    grid = open_store(ready.store("grid"), made_by="ingest")
    file = shard_file(grid.path, 0)
    flux = np.fromfile(file, dtype=np.float32).reshape(-1, grid.layout.pixels)
    flux[1:] *= -1  # not the first template, with which the leading rank tries its kernels
    flux.tofile(file)
    code, said = ended(start(4, ready))
    assert code == 1
    (line,) = complaints(said)
    assert "the continuum is not positive everywhere" in line


@pytest.mark.parametrize(("ranks", "found"), [(1, "this is one process"), (2, "there are 2 ranks")])
def test_too_few_ranks_are_told_how_to_start(ready: ExperimentConfig, ranks: int, found: str) -> None:
    code, said = ended(start(ranks, ready))
    assert code == 1
    (line,) = complaints(said)
    assert f"needs at least 3 ranks (scheduler, client, workers), and {found}; start" in line
    assert "`mpiexec -n 6 python -m starnet_hpc.augment CONFIG`" in line
    assert not ready.store("train").exists()


def test_a_wrong_configuration_is_told_by_one_rank(ready: ExperimentConfig) -> None:
    code, said = ended(start(3, ready, *MPI, "--set", "augment.worker=2"))
    assert code == 2
    (line,) = complaints(said)
    assert "augment.worker: unknown key" in line


def test_a_signal_to_the_launcher_finishes_the_current_shards_and_leaves_a_resumable_store(
    ready: ExperimentConfig,
) -> None:
    config = experiment(ready.run_dir.parent / "long", augment={"n_train": 20_000})
    write_grid(config)
    process = start(4, config)
    markers = config.run_dir / "train.markers"
    support.wait_until(lambda: process.poll() is not None or list(markers.glob("shard-*")), "the first shard", 60)
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 1
    (line,) = complaints(said)
    assert "stopped by SIGTERM with" in line
    assert line.endswith("run the same command again to go on")
    assert list(markers.glob("shard-*"))
    assert not any(is_complete(config.store(split)) for split in SPLITS)
    assert not list(config.run_dir.rglob("*.partial"))


BLOCKED = "import sys; sys.modules['dask_mpi'] = None; from starnet_hpc.cli import stage_main; "
BLOCKED += "sys.exit(stage_main('augment', sys.argv[1:]))"


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_without_dask_mpi_are_told_once_what_to_install(ready: ExperimentConfig, rank: int) -> None:
    config = ready.run_dir / "config.yaml"
    done = support.run("-c", BLOCKED, config, *MPI, PMI_SIZE="3", PMI_RANK=str(rank))
    assert done.returncode == 1
    told = "augment.scheduler: mpi needs dask_mpi; install it with `pip install 'starnet-hpc[dask-cluster]'`"
    assert (told in done.stderr) == (rank == 0)


def test_the_ranks_of_a_stage_do_not_serve_another_way_in(ready: ExperimentConfig) -> None:
    with pytest.raises(LauncherError, match="start ingest, augment or observe by itself, as in `mpiexec"):
        augment(ready.model_copy(update={"augment": ready.augment.model_copy(update={"scheduler": "mpi"})}))
