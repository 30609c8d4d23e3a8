"""Spectra that are read ahead of the steps: their memory, their thread, and a disk that does not answer."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.networks import LabelScale
from starnet_hpc.stores import Layout, Store
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.train import streaming
from starnet_hpc.train.data import RankData
from tests.stores.cases import build, read
from tests.support import wait_until

PLAIN = LabelScale(np.zeros(2), np.ones(2))
LAYOUT = Layout(rows=96, pixels=8, shard_rows=16, dtype="float16")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    build(tmp_path / "train.zarr", LAYOUT)
    return tmp_path / "train.zarr"


def streamed(store: Store, *, shuffle_shards: int = 2) -> RankData:
    return RankData(store, PLAIN, range(store.layout.shards), home="stream", shuffle_shards=shuffle_shards)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert readers() == []


def test_memory_is_that_of_two_windows_however_large_the_store_is(tmp_path: Path) -> None:
    layout = Layout(rows=48 * 16, pixels=65_536, shard_rows=16, dtype="float16")  # 100 MB in shards of 2.1 MB
    flux = np.zeros((layout.rows, layout.pixels), dtype=np.float16)
    build(tmp_path / "train.zarr", layout, flux=flux)
    del flux
    data = streamed(read(tmp_path / "train.zarr"))
    before, resident = resident_mb(), []
    for epoch in range(2):
        for batch in data.epoch(1, 0, epoch, 16, 48):
            batch.flux.sum()
            resident.append(resident_mb() - before)
    # Two windows of 4.2 MB, and a batch that lies in two of them; 5 MB for what torch and the thread need for the
    # first time.
    assert max(resident) < 2 * 4.2 + 2.1 + 5


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_the_thread_reads_one_window_ahead_and_no_further(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_shard, seen = Store.read_shard, []

    def noted(self: Store, shard: int, *arguments: object) -> None:
        read_shard(self, shard, *arguments)  # type: ignore[arg-type]
        seen.append(shard)

    monkeypatch.setattr(Store, "read_shard", noted)
    with closing(streamed(read(path)).epoch(1, 0, 0, 16, 6)) as batches:
        next(batches)
        wait_until(lambda: len(seen) == 4, "the window after the first one")
        next(batches)  # the other half of the first window
        assert len(seen) == 4
        next(batches)
        wait_until(lambda: len(seen) == 6, "the third window, when the first is no longer needed")
    assert sorted(seen) == list(range(6))


def test_only_windows_that_are_needed_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_shard, seen = Store.read_shard, []

    def noted(self: Store, shard: int, *arguments: object) -> None:
        read_shard(self, shard, *arguments)  # type: ignore[arg-type]
        seen.append(shard)

    monkeypatch.setattr(Store, "read_shard", noted)
    whole = [batch.rows.tolist() for batch in streamed(read(path)).epoch(1, 0, 0, 16, 6)]
    part = [batch.rows.tolist() for batch in streamed(read(path)).epoch(1, 0, 0, 16, 4, 2)]
    assert part == whole[2:4]
    assert seen[6:] == seen[2:4], "more was read than the second of three windows"


@pytest.mark.parametrize("taken", [0, 1, 4, 6])
def test_the_thread_ends_with_the_epoch_or_with_whoever_leaves_it(path: Path, taken: int) -> None:
    data = streamed(read(path))
    for _ in range(2):
        batches = data.epoch(1, 0, 0, 16, 6)
        rows = [next(batches).rows.tolist() for _ in range(taken)]
        assert len(readers()) <= 1
        batches.close()
        assert readers() == []
    assert [batch.rows.tolist() for batch in data.epoch(1, 0, 0, 16, 6)][:taken] == rows


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_shard_that_is_damaged_in_the_middle_of_an_epoch_is_the_usual_error_where_batches_are_asked_for(
    path: Path, damage: str
) -> None:
    data = streamed(read(path), shuffle_shards=1)
    order = [batch.rows[0].item() // 16 for batch in data.epoch(1, 0, 0, 16, 6)]
    file = shard_file(path, order[4])
    if damage == "lost":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    batches = data.epoch(1, 0, 0, 16, 6)
    assert [next(batches).rows[0].item() // 16 for _ in range(4)] == order[:4]
    with pytest.raises(StoreDamagedError, match=rf"shard {order[4]} .* is missing or truncated.*--mend"):
        next(batches)
    assert readers() == []


def test_whoever_waits_for_a_disk_that_hangs_can_leave_and_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_shard, answer, asked = Store.read_shard, threading.Event(), threading.Event()

    def hanging(self: Store, shard: int, *arguments: object) -> None:
        asked.set()
        answer.wait()
        read_shard(self, shard, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(streaming, "_PATIENCE_S", 0.05)
    data = streamed(read(path))
    expected = [batch.flux.numpy().tobytes() for batch in data.epoch(1, 0, 0, 16, 6)]
    with monkeypatch.context() as patch:
        patch.setattr(Store, "read_shard", hanging)
        assert list(data.epoch(1, 0, 0, 16, 6, stop=asked.is_set)) == []
    (left,) = readers()
    # The memory that the thread may still write to is nobody else's.
    found = [batch.flux.numpy().tobytes() for batch in data.epoch(1, 0, 0, 16, 6)]
    answer.set()
    left.join()
    assert found == expected


def test_a_disk_that_is_slow_is_waited_for_if_nobody_asks_to_stop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_shard, answer = Store.read_shard, threading.Event()
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            answer.set()
        return False

    def slow(self: Store, shard: int, *arguments: object) -> None:
        answer.wait()
        read_shard(self, shard, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(streaming, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(Store, "read_shard", slow)
    assert len(list(streamed(read(path)).epoch(1, 0, 0, 16, 6, stop=stop))) == 6
    assert looks >= 3
