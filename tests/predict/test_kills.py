"""A prediction that is killed again and again, wherever it stands, is the same in the end."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from tests import support

HERE = Path(__file__).parent
PRODUCTS = (
    *("catalogue.fits", "catalogue.parquet"),
    *("predictions/calibration.json", "predictions/limits.json", "predictions/validation.json"),
)
KILLS = 20
KILLED = -9
FOR_EVER = 60.0


@contextmanager
def killable(config: ExperimentConfig) -> Iterator[subprocess.Popen[str]]:
    """Start the program that predicts, and is killed, on request."""
    command = [sys.executable, str(HERE / "killable.py"), str(config.run_dir / "config.yaml")]
    with subprocess.Popen(
        command,
        env=support.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def attempt(program: subprocess.Popen[str], seconds: float) -> int:
    """Predict for so long; return the exit code."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{seconds}\n")
    program.stdin.flush()
    return int(program.stdout.readline())


def products(config: ExperimentConfig) -> dict[str, bytes]:
    """What of the result is there."""
    return {name: (config.run_dir / name).read_bytes() for name in PRODUCTS if (config.run_dir / name).exists()}


def units(config: ExperimentConfig) -> dict[str, int]:
    """Finished units, by the time of their last change."""
    return {str(path): path.stat().st_mtime_ns for path in (config.run_dir / "predictions").glob("*/unit-*.npz")}


def begin_anew(config: ExperimentConfig) -> None:
    shutil.rmtree(config.run_dir / "predictions")
    for path in config.run_dir.glob("*catalogue.*"):
        path.unlink()


@pytest.mark.slow(reason="twenty predictions that are killed, and those that are not")
def test_twenty_kills_at_random_moments_change_no_byte_and_no_unit_is_done_twice(tmp_path: Path) -> None:
    config = support.ready_to_predict(
        tmp_path / "run", survey=96, valid=24, ensemble={"members": 3}, predict={"shard_rows": 8}
    )
    moments = np.random.default_rng(11)
    with killable(config) as program:
        assert attempt(program, FOR_EVER) == 0  # the first of its kind takes longer
        begin_anew(config)
        start = time.monotonic()
        assert attempt(program, FOR_EVER) == 0
        usual = time.monotonic() - start
        whole, all_units = products(config), set(units(config))
        assert set(whole) == set(PRODUCTS)
        begin_anew(config)
        kills, before, found_half = 0, units(config), 0
        while kills < KILLS:
            code = attempt(program, moments.uniform(0.0, usual))
            after = units(config)
            assert before.items() <= after.items(), "a finished unit was done again"
            assert products(config).items() <= whole.items(), "something half done looks done"
            kills += code == KILLED
            found_half += 0 < len(after) < len(all_units)
            before = after
            if code != KILLED:
                assert code == 0
                assert products(config) == whole
                assert set(after) == all_units
                begin_anew(config)
                before = {}
        assert found_half > 0, "no kill came while units were being made"
        assert attempt(program, FOR_EVER) == 0
    assert products(config) == whole
    assert set(units(config)) == all_units
