"""A stage's log: timed lines in a file and on standard error, a moving bar only on a terminal."""

import json
import logging
import os
import pty
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from starnet_hpc import progress
from starnet_hpc.errors import InterruptedRunError, StoreDamagedError
from starnet_hpc.logfiles import last_words
from starnet_hpc.progress import stage_log
from tests.support import environment

TIMED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    (.*)")


class Clock:
    """Time that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(progress.time, "monotonic", turned)
    return turned


def lines(run_dir: Path, name: str = "augment") -> list[str]:
    text = (run_dir / "logs" / f"{name}.log").read_text(encoding="utf-8")
    return [match[1] for line in text.splitlines() if (match := TIMED.fullmatch(line))]


def test_lines_are_timed_and_go_to_the_file_and_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage_log("augment", tmp_path / "run") as log:
        log.info("%d spectra of %s", 5, "Å")
        log.warning("look")
    text = (tmp_path / "run" / "logs" / "augment.log").read_text(encoding="utf-8")
    assert lines(tmp_path / "run") == ["5 spectra of Å"]
    assert text.splitlines()[1].endswith(" WARNING look")
    assert capsys.readouterr().err == text


def test_another_rank_has_files_of_its_own_and_keeps_off_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage_log("augment", tmp_path, rank=1) as log:
        log.info("said")
    assert lines(tmp_path, "augment-rank1") == ["said"]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["augment-rank1.jsonl", "augment-rank1.log"]
    assert capsys.readouterr().err == ""


def for_machines(run_dir: Path, name: str) -> list[dict[str, Any]]:
    text = (run_dir / "logs" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_say_what_the_text_says_and_who_said_it(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"JOB_ID": "812", "ARRAY_JOB_ID": "811", "ARRAY_TASK_ID": "3", "RESTART_COUNT": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with stage_log("train-03", tmp_path, rank=2) as log, log.bar("train.zarr", 9, "spectra", done=3) as bar:
        log.warning("two\nlines of %s", "Å")
        clock.now += 2.0
        bar.advance(6)
    said, ended = for_machines(tmp_path, "train-03-rank2")
    when = datetime.fromisoformat(said.pop("time"))
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=5)
    place = {"stage": "train-03", "rank": 2, "host": socket.gethostname(), "pid": os.getpid()}
    place |= {"job": "811_3", "restarts": 2}
    assert said == {"level": "WARNING", "message": "two\nlines of Å"} | place
    numbers = {"done": 9, "total": 9, "done_before": 3, "seconds": 2.0}
    assert ended["progress"] == {"title": "train.zarr", "unit": "spectra"} | numbers
    assert ended["message"] == "train.zarr: 6 spectra in 2.0 s (3 spectra/s)"


@pytest.mark.parametrize(
    ("error", "level"), [(StoreDamagedError("torn"), "ERROR"), (InterruptedRunError("asked to stop"), "WARNING")]
)
def test_what_ends_a_stage_stands_in_its_files_and_the_screen_has_it_from_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, level: str
) -> None:
    with pytest.raises(type(error)), stage_log("augment", tmp_path):
        raise error
    text = (tmp_path / "logs" / "augment.log").read_text(encoding="utf-8")
    assert text[20:] == f"{level:<7} {type(error).__name__}: {error}\n"
    (line,) = for_machines(tmp_path, "augment")
    assert (line["level"], line["error"]) == (level, type(error).__name__)
    assert "raise error" in line["traceback"]
    assert "job" not in line, "no Slurm here"
    assert capsys.readouterr().err == ""


def fail(tmp_path: Path, rank: int, error: Exception | None) -> None:
    """Let a rank of a stage say four lines, and fail if there is an error."""
    with suppress(StoreDamagedError), stage_log("predict", tmp_path, rank=rank) as log:
        for k in range(4):
            log.info("line %d", k)
        if error:
            raise error


def test_errors_of_ranks_that_the_screen_has_not_shown_are_their_last_words(tmp_path: Path) -> None:
    fail(tmp_path, 1, StoreDamagedError("of an earlier run"))
    time.sleep(0.01)
    since = time.time()
    common = StoreDamagedError("seen by all")
    fail(tmp_path, 0, common)
    fail(tmp_path, 1, common)
    fail(tmp_path, 2, StoreDamagedError("a disk of its own"))
    fail(tmp_path, 3, None)
    with (tmp_path / "logs" / "predict-rank3.jsonl").open("a") as file:
        file.write('{"time": "20')  # killed while it wrote
    host = socket.gethostname()
    words = last_words(tmp_path / "logs", "predict", since)
    assert words == [f"rank 2 on {host}: StoreDamagedError: a disk of its own"]


def test_ranks_that_end_without_a_word_are_quoted(tmp_path: Path) -> None:
    since = time.time()
    fail(tmp_path, 0, None)
    fail(tmp_path, 1, None)
    host = socket.gethostname()
    words = [f"rank {rank} on {host}: line {k}" for rank in (0, 1) for k in (1, 2, 3)]
    assert last_words(tmp_path / "logs", "predict", since) == words
    assert last_words(tmp_path / "logs", "predict", time.time() + 60.0) == []


def test_a_second_run_adds_to_the_log_and_says_nothing_twice(tmp_path: Path) -> None:
    logger = logging.getLogger("starnet_hpc.augment")
    before = list(logger.handlers)
    for said in ("first", "second"):
        with stage_log("augment", tmp_path) as log:
            log.info("%s", said)
    assert lines(tmp_path) == ["first", "second"]
    assert logger.handlers == before


def test_a_log_on_a_full_disk_loses_lines_but_stops_nothing_and_prints_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    for kind in ("log", "jsonl"):
        (tmp_path / "logs" / f"augment.{kind}").symlink_to("/dev/full")  # every write: no space left on device
    with stage_log("augment", tmp_path) as log:
        log.info("one")
        log.info("two")
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in said] == ["one", "two"]


def test_without_a_terminal_a_line_comes_every_ten_seconds_with_rate_and_time_left(
    tmp_path: Path, clock: Clock
) -> None:
    with stage_log("augment", tmp_path, rank=1) as log, log.bar("train.zarr", 1000, "spectra") as bar:
        for _ in range(9):  # 100 spectra in 4 s each: lines after 12, 24 and 36 s
            clock.now += 4.0
            bar.advance(100)
        clock.now += 4.0
        bar.advance(100, "loss 0.5")
    assert lines(tmp_path, "augment-rank1") == [
        "train.zarr: 300 of 1000 spectra, 25 spectra/s, 28 s left ",
        "train.zarr: 600 of 1000 spectra, 25 spectra/s, 16 s left ",
        "train.zarr: 900 of 1000 spectra, 25 spectra/s, 4 s left ",
        "train.zarr: 1000 spectra in 40.0 s (25 spectra/s)",
    ]


def test_what_an_earlier_run_did_counts_as_done_but_not_in_the_rate(tmp_path: Path, clock: Clock) -> None:
    with stage_log("augment", tmp_path, rank=1) as log, log.bar("x", 1000, "spectra", done=600) as bar:
        clock.now += 20.0
        bar.advance(200)
        clock.now += 20.0
        bar.advance(200)
    assert lines(tmp_path, "augment-rank1") == [
        "x: 800 of 1000 spectra, 10 spectra/s, 20 s left ",
        "x: 400 spectra in 40.0 s (10 spectra/s)",
    ]


def test_work_that_fails_or_was_done_before_ends_without_a_rate(tmp_path: Path) -> None:
    with stage_log("augment", tmp_path, rank=1) as log:
        with log.bar("done", 10, "files", done=10):
            pass
        with pytest.raises(ZeroDivisionError), log.bar("failed", 10, "files") as bar:
            bar.advance(5 // 0)
    assert lines(tmp_path, "augment-rank1") == []


def on_a_terminal(program: str) -> list[str]:
    """Run a program on a terminal of its own; return the rows that it showed, without colours."""
    here, there = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(TERM="xterm", COLUMNS="100", NO_COLOR="1"),
        stderr=there,
        stdout=there,
    ) as process:
        os.close(there)
        shown = b""
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:  # EIO: the other end has closed
                break
            shown += part
        assert process.wait(60) == 0
    os.close(here)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return [row.strip() for row in re.split(r"[\r\n]+", text)]


def test_on_a_terminal_lines_stand_above_the_bar_and_none_is_torn(tmp_path: Path) -> None:
    rows = on_a_terminal(f"""
from pathlib import Path
from starnet_hpc.progress import stage_log
with stage_log("augment", Path({str(tmp_path)!r})) as log, log.bar("work", 200, "spectra") as bar:
    for k in range(200):
        bar.advance(1)
        if k % 50 == 0:
            log.info("line %d stands alone [not markup]", k)
""")
    for k in range(0, 200, 50):
        assert [row for row in rows if re.fullmatch(rf"(\[.*\] +)?INFO +line {k} stands alone \[not markup\]", row)]
    assert any("spectra/s" in row for row in rows)
    assert len(lines(tmp_path)) == 5  # the four, and the sum


def test_on_a_terminal_the_file_gets_the_timed_lines_and_the_screen_the_bar(tmp_path: Path) -> None:
    rows = on_a_terminal(f"""
from pathlib import Path
from starnet_hpc import progress
progress._LINE_EVERY_S = 0.0
with progress.stage_log("augment", Path({str(tmp_path)!r})) as log, log.bar("work", 3, "spectra") as bar:
    for _ in range(3):
        bar.advance(1)
""")
    assert [line.split(",")[0] for line in lines(tmp_path)[:2]] == [f"work: {k} of 3 spectra" for k in (1, 2)]
    assert not any("of 3 spectra," in row for row in rows)


def test_a_quiet_rank_draws_no_bar_even_on_a_terminal(tmp_path: Path) -> None:
    rows = on_a_terminal(f"""
from pathlib import Path
from starnet_hpc.progress import stage_log
with stage_log("train", Path({str(tmp_path)!r}), rank=1) as log, log.bar("work", 3, "spectra") as bar:
    bar.advance(3)
""")
    assert not any(rows)
