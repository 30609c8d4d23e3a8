"""`watch` as a process: half files, kills, torn lines, signals, and readers of its lines that go."""

import os
import signal
from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from tests import support
from tests.launch.watching import ready_to_watch, rows, start_watch, whole_lines, write_star


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return ready_to_watch(tmp_path)


@pytest.fixture
def observed(config: ExperimentConfig) -> Path:
    return config.run_dir.parent / "observed"


def test_a_process_survives_half_files_kills_and_signals(config: ExperimentConfig, observed: Path) -> None:
    """One night: a file written byte by byte, `kill -9` in the middle of a backlog, a torn line, Ctrl-C, SIGTERM."""
    whole = write_star(observed / ".hidden", config, key=50).read_bytes()
    process = start_watch(config, "--patience", "600")
    try:
        write_star(observed / "first.fits", config, key=51)
        support.wait_until(lambda: len(whole_lines(config)) == 1, "the first spectrum", support.PATIENCE_S)
        with (observed / "slow.fits").open("wb", buffering=0) as file:
            for byte in whole[:7000]:
                file.write(bytes([byte]))
            # When this one has its row, half of the other has been looked at more than once.
            write_star(observed / "marker.fits", config, key=52)
            support.wait_until(lambda: len(whole_lines(config)) == 2, "the marker", support.PATIENCE_S)
            for byte in whole[7000:]:
                file.write(bytes([byte]))
        support.wait_until(lambda: len(whole_lines(config)) == 3, "the slow file", support.PATIENCE_S)
        for k in range(40):
            write_star(observed / f"backlog{k:02d}.fits", config, key=k)
        support.wait_until(lambda: len(whole_lines(config)) > 10, "a part of the backlog", support.PATIENCE_S)
        process.kill()
        lines = process.communicate()[0].splitlines()
        assert [line.split()[0] for line in lines[:3]] == ["first", "marker", "slow"]
        before = whole_lines(config)
        assert len(lines) in (len(before), len(before) - 1)  # the row comes before its line
        with (config.run_dir / "watch_catalogue.ecsv").open("ab") as file:
            file.write(b'"torn","/some')

        process = start_watch(config)
        support.wait_until(lambda: len(whole_lines(config)) == 43, "the rest of the backlog", support.PATIENCE_S)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=support.PATIENCE_S)
        assert process.returncode == 0, told
        assert len(said.splitlines()) == 43 - len(before)
        assert "its last line was torn (13 bytes)" in told
        assert "stopped by SIGINT after " in told
        assert f": {43 - len(before)} spectra ({43 - len(before)} fine)" in told
        assert whole_lines(config)[: len(before)] == before
        assert sorted(rows(config)["id"]) == sorted(
            ["first", "marker", "slow", *(f"backlog{k:02d}" for k in range(40))]
        )
        assert (rows(config)["n_members"] == 2).all()
    finally:
        process.kill()
        process.communicate()


def test_the_end_of_a_job_is_no_failure_and_who_reads_the_lines_may_go(
    config: ExperimentConfig, observed: Path
) -> None:
    process = start_watch(config)
    try:
        assert process.stdout is not None
        process.stdout.close()  # as `| head` does
        for k in range(2):
            write_star(observed / f"star{k}.fits", config, key=k)
        support.wait_until(lambda: len(whole_lines(config)) == 2, "two spectra", support.PATIENCE_S)
        os.kill(process.pid, signal.SIGTERM)
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(support.PATIENCE_S) == 0, told
        assert "stopped by SIGTERM" in told
        assert "2 spectra (2 fine)" in told
        assert "Traceback" not in told
        assert "Exception ignored" not in told
    finally:
        process.kill()
        process.wait()
