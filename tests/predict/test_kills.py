"""A prediction under MPI that is killed again and again, wherever it stands, is the same in the end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch.chain import find_mpiexec
from tests import support

HERE = Path(__file__).parent
PRODUCTS = (
    *("catalogue.fits", "catalogue.parquet"),
    *("predictions/calibration.json", "predictions/limits.json", "predictions/validation.json"),
)
RANKS = 2
KILLS = 20
FOR_EVER = 60.0
MOMENTS = np.random.default_rng(11)


class Jobs:
    """MPI jobs of two ranks that predict one experiment."""

    def __init__(self, config: ExperimentConfig, socket: Path, folder: Path) -> None:
        mpiexec = find_mpiexec()
        assert mpiexec is not None, "there is no mpiexec"
        self._config, self._folder = config, folder
        self._command = [mpiexec, "-n", str(RANKS), sys.executable, str(HERE / "rank.py"), str(socket), str(folder)]
        self._environment = support.environment(WARM_CONFIG=str(config.run_dir / "config.yaml"))

    def attempt(self, seconds: float, hit: tuple[int, ...] = (), *, enough: int = sys.maxsize) -> int:
        """Predict for so long, or until so many units are there; then kill these ranks, and mpiexec if they are all.

        Returns:
            mpiexec's exit code.
        """
        for path in self._folder.iterdir():
            path.unlink()
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # mpiexec tells of each rank it loses
        job = subprocess.Popen(self._command, env=self._environment, **nowhere)
        end = time.monotonic() + seconds
        while job.poll() is None and time.monotonic() < end and len(units(self._config)) < enough:
            time.sleep(0.002)
        if job.poll() is None:
            processes = self._processes()
            for rank in hit:
                kill(processes.get(rank))
            if len(hit) == RANKS:
                job.kill()
        code = job.wait(timeout=FOR_EVER)
        support.wait_until(lambda: not any(map(alive, self._processes().values())), "the end of all ranks")
        return code

    def _processes(self) -> dict[int, int]:
        return {int(path.name): int(path.read_text()) for path in self._folder.glob("[0-9]")}


def kill(process: int | None) -> None:
    if process is not None and alive(process):
        os.kill(process, signal.SIGKILL)


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def products(config: ExperimentConfig) -> dict[str, bytes]:
    """What of the result is there."""
    return {name: (config.run_dir / name).read_bytes() for name in PRODUCTS if (config.run_dir / name).exists()}


def units(config: ExperimentConfig) -> dict[str, int]:
    """Finished units, by the time of their last change."""
    return {str(path): path.stat().st_mtime_ns for path in (config.run_dir / "predictions").glob("*/unit-*.npz")}


def begin_anew(config: ExperimentConfig) -> None:
    shutil.rmtree(config.run_dir / "predictions", ignore_errors=True)
    for path in config.run_dir.glob("*catalogue.*"):
        path.unlink()


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(
        tmp_path / "run", survey=96, valid=24, ensemble={"members": 3}, predict={"shard_rows": 8}
    )


@pytest.fixture
def jobs(config: ExperimentConfig, tmp_path: Path) -> Iterator[Jobs]:
    socket, folder = tmp_path / "socket", tmp_path / "ranks"
    folder.mkdir()
    with subprocess.Popen([sys.executable, str(HERE / "warm.py"), str(socket)], env=support.environment()) as server:
        try:
            support.wait_until(socket.exists, "the server of ranks", limit_s=support.PATIENCE_S)
            yield Jobs(config, socket, folder)
        finally:
            server.kill()


@pytest.mark.slow(reason="twenty predictions that are killed, and those that are not")
def test_twenty_kills_at_random_moments_change_no_byte_and_no_unit_is_done_twice(
    config: ExperimentConfig, jobs: Jobs
) -> None:
    assert jobs.attempt(FOR_EVER) == 0  # the first of its kind takes longer
    begin_anew(config)
    start = time.monotonic()
    assert jobs.attempt(FOR_EVER) == 0
    usual = time.monotonic() - start
    whole, all_units = products(config), set(units(config))
    assert set(whole) == set(PRODUCTS)
    begin_anew(config)
    kills, before, found_half = 0, units(config), 0
    while kills < KILLS:
        # One rank, either of them, or the whole job, in turns.
        hit = tuple(range(RANKS)) if kills % 2 else (int(MOMENTS.integers(RANKS)),)
        # A busy machine may need many times what is usual before the first unit: every other kill waits for some.
        more = len(before) + 1 < len(all_units) and MOMENTS.random() < 0.5
        if more:
            code = jobs.attempt(FOR_EVER, hit, enough=int(MOMENTS.integers(len(before) + 1, len(all_units))))
        else:
            code = jobs.attempt(MOMENTS.uniform(0.0, usual), hit)
        after = units(config)
        assert before.items() <= after.items(), "a finished unit was done again"
        assert products(config).items() <= whole.items(), "something half done looks done"
        kills += code != 0
        found_half += 0 < len(after) < len(all_units)
        before = after
        if code == 0:
            assert products(config) == whole
            assert set(after) == all_units
            begin_anew(config)
            before = {}
    assert found_half > 0, "no kill came while units were being made"
    assert jobs.attempt(FOR_EVER) == 0
    assert products(config) == whole
    assert set(units(config)) == all_units
