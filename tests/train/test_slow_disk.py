"""Training from a disk that stops to answer: whoever waits for it can be stopped, and nobody waits for him for ever."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.train import train
from tests import support

PROGRAM = Path(__file__).parent / "slow.py"
EPOCHS, STEPS, SHARDS, VALID_SHARDS = 2, 8, 4, 2
STREAMED = {"epochs": EPOCHS, "shuffle_shards": 1, "residency": "stream", "checkpoint_minutes": 1e-6}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@contextmanager
def disk_that_hangs(pipe: Path, limit_s: float = 60.0) -> Iterator[None]:
    """Wait until a process reads the pipe, and let it wait until the end of the block."""
    writers: list[int] = []

    def is_read() -> bool:
        try:
            writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody is there
            return False
        return True

    support.wait_until(is_read, "a shard that is asked for", limit_s)
    yield
    os.close(writers[0])


def ended(processes: list[subprocess.Popen[str]], number: signal.Signals) -> list[tuple[int, str]]:
    """Send all processes a signal; return how they end."""
    for process in processes:
        process.send_signal(number)
    return support.finish(processes)


def progress(config: ExperimentConfig) -> tuple[int, int]:
    path = config.member_dir(0) / "last.pt"
    saved = torch.load(path, weights_only=True)["progress"] if path.exists() else {"epoch": 0, "step": 0}
    return saved["epoch"], saved["step"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(support.ready_to_train(tmp_path_factory.mktemp("undisturbed") / "run", train=STREAMED))


@pytest.mark.parametrize(
    ("read", "saved", "place", "number"),
    [
        # The last checkpoint is made before the last step before the wait,
        (SHARDS + VALID_SHARDS + 2, (1, 3), (1, 4), signal.SIGTERM),
        # or when an epoch has no more batches.
        (SHARDS, (0, STEPS), (0, STEPS), signal.SIGUSR2),
    ],
    ids=["in the middle of an epoch", "at the validation"],
)
def test_training_that_waits_for_the_disk_stops_at_once_and_goes_on_to_the_same_weights(
    tmp_path: Path,
    pipe: Path,
    undisturbed: Path,
    read: int,
    saved: tuple[int, int],
    place: tuple[int, int],
    number: signal.Signals,
) -> None:
    config = support.ready_to_train(tmp_path / "run", train=STREAMED)
    process = support.start(PROGRAM, config.run_dir / "config.yaml", str(read), pipe)
    with disk_that_hangs(pipe):
        support.wait_until(lambda: progress(config) == saved, "the last batch that was read")
        ((code, told),) = ended([process], number)
    assert code == 1
    assert f"asked to stop in epoch {place[0] + 1} after step {place[1]}; the state is saved" in told
    assert "Traceback" not in told
    assert progress(config) == place
    assert support.same_weights(train(config), undisturbed)


WORLD = 3


def of_three(tmp_path: Path, pipe: Path) -> tuple[ExperimentConfig, list[subprocess.Popen[str]]]:
    """Start three processes, of which the second waits for its only shard of the second epoch."""
    changes = {"batch_size": 12, "gpus_per_node": WORLD}
    config = support.ready_to_train(tmp_path / "run", train={**STREAMED, **changes})
    words = (PROGRAM, config.run_dir / "config.yaml", "2", pipe)
    return config, support.start_ranks(WORLD, *words, port=support.free_port(), HIT_RANK="1")


def test_processes_stop_together_while_one_of_them_waits_for_the_disk(tmp_path: Path, pipe: Path) -> None:
    config, processes = of_three(tmp_path, pipe)
    with disk_that_hangs(pipe):
        told = ended(processes, signal.SIGTERM)
    assert [code for code, _ in told] == [1] * WORLD
    assert "asked to stop in epoch 2 after step 0; the state is saved" in told[0][1]
    assert [words for _, words in told[1:]] == ["", ""], "one process tells for all"
    assert progress(config) == (1, 0)


def test_a_shard_that_one_process_finds_lost_is_told_once_and_ends_all(tmp_path: Path, pipe: Path) -> None:
    config, processes = of_three(tmp_path, pipe)
    with disk_that_hangs(pipe):
        shard_file(config.store("train"), 1).unlink()
    told = support.finish(processes)
    assert [code for code, _ in told] == [1] * WORLD
    assert "the file of shard 1 (rows 32 to 63) is missing or truncated" in told[0][1]
    assert "Traceback" not in told[0][1]
    assert [words for _, words in told[1:]] == ["", ""]


def test_processes_that_wait_for_the_disk_and_for_each_other_can_be_ended_after_one_has_died(
    tmp_path: Path, pipe: Path
) -> None:
    _, (first, *others) = of_three(tmp_path, pipe)
    with disk_that_hangs(pipe):
        first.kill()
        # What a launcher sends to those who are left. The last one may not have noticed: it waits for the second.
        for code, told in ended(others, signal.SIGTERM):
            assert code == 1
            assert "lost contact" in told
            assert "Traceback" not in told
    support.finish([first])
