"""Rows as they were written, or an error that names the shard: never NaN, and never another row."""

import errno
import os
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.stores import Layout, shardfile
from starnet_hpc.stores.layout import shard_file
from tests.stores.cases import build, fluxes, read

SHARDED = Layout(rows=50, pixels=40, shard_rows=16, dtype="float16")
MAPPED = Layout(rows=50, pixels=40, shard_rows=16, mapped=True)
both = pytest.mark.parametrize("layout", [SHARDED, MAPPED], ids=["sharded", "mapped"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.zarr"


@both
def test_any_range_of_rows_is_that_of_zarr(path: Path, layout: Layout) -> None:
    build(path, layout)
    store, theirs = read(path), zarr.open_array(path / "flux", mode="r")
    for start in range(0, layout.rows + 1, 3):
        for stop in range(0, layout.rows + 3, 3):
            assert store.read(start, stop).tobytes() == np.asarray(theirs[start:stop]).tobytes()


@both
@pytest.mark.parametrize("damage", ["lost", "emptied", "truncated", "longer"])
def test_a_shard_that_is_damaged_after_the_store_was_opened_is_an_error(
    path: Path, layout: Layout, damage: str
) -> None:
    build(path, layout)
    store, file = read(path), shard_file(path, 1)
    if damage == "lost":
        file.unlink()
    else:
        before = file.read_bytes()
        file.write_bytes({"emptied": b"", "truncated": before[:-1], "longer": before + b"\0"}[damage])
    with pytest.raises(StoreDamagedError, match=r"shard 1 \(rows 16 to 31\) is missing or truncated.*--mend"):
        store.read(0, 50)
    assert store.read(0, 16).tobytes() == fluxes(layout)[:16].tobytes()
    assert store.read(32, 50).tobytes() == fluxes(layout)[32:].tobytes()


@both
@pytest.mark.parametrize(
    "most", [1000, 16, 3], ids=["all rows at once", "a row too many for a call", "three rows a call"]
)
@pytest.mark.parametrize("cut", [10**9, 37], ids=["whole", "in pieces that end within a row"])
def test_the_rows_of_a_shard_come_where_they_are_wanted(
    path: Path, layout: Layout, most: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path, layout)
    store, places, read_vectors = read(path), np.random.default_rng(5).permutation(60), os.preadv

    def limited(number: int, buffers: list[memoryview], offset: int) -> int:
        """As the system may: less than was asked for."""
        assert len(buffers) <= most
        return read_vectors(number, [buffers[0][:cut], *(buffers[1:] if cut > buffers[0].nbytes else [])], offset)

    monkeypatch.setattr(shardfile, "_MOST_VECTORS", most)
    monkeypatch.setattr(os, "preadv", limited)
    out = np.zeros((60, layout.pixels), dtype=layout.dtype)
    for shard in range(layout.shards):
        rows = layout.rows_of(shard)
        store.read_shard(shard, out, places[rows.start : rows.stop])
    assert out[places[: layout.rows]].tobytes() == fluxes(layout).tobytes()
    assert not out[places[layout.rows :]].any(), "rows that nobody asked for were written to"


@both
@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_shard_is_an_error_wherever_its_rows_are_wanted(path: Path, layout: Layout, damage: str) -> None:
    build(path, layout)
    store, file, out = read(path), shard_file(path, 1), np.zeros((16, layout.pixels), dtype=layout.dtype)
    if damage == "lost":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreDamagedError, match=r"shard 1 \(rows 16 to 31\) is missing or truncated.*--mend"):
        store.read_shard(1, out, np.arange(16))


def test_a_file_that_shrinks_while_it_is_read_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(path, SHARDED)
    monkeypatch.setattr(os, "preadv", lambda *_: 0)  # what the system says at the end of a file
    with pytest.raises(StoreDamagedError, match=r"shard 2 .* is missing or truncated"):
        read(path).read_shard(2, np.zeros((16, 40), dtype="float16"), np.arange(16))


def test_a_disk_that_fails_is_told_with_the_shard(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    build(path, SHARDED)
    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StoreDamagedError, match=r"shard 2 .* cannot be read \(Input/output error\)"):
        read(path).read_shard(2, np.zeros((16, 40), dtype="float16"), np.arange(16))


def test_an_index_whose_checksum_is_wrong_is_an_error(path: Path) -> None:
    build(path, SHARDED)
    file = shard_file(path, 2)
    data = bytearray(file.read_bytes())
    data[-12] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=r"shard 2 \(rows 32 to 47\) cannot be read \(.*checksum"):
        read(path).read(32, 33)
    with pytest.raises(StoreDamagedError, match=r"shard 2 \(rows 32 to 47\) cannot be read \(.*checksum"):
        read(path).read_shard(2, np.zeros((16, 40), dtype="float16"), np.arange(16))


def test_chunks_in_another_order_than_ours_are_read_where_the_index_says(path: Path) -> None:
    layout = Layout(rows=32, pixels=5, shard_rows=32)
    build(path, layout)
    file, chunk = shard_file(path, 0), 16 * 5 * 4
    data = file.read_bytes()
    index = np.array([[chunk, chunk], [0, chunk]], dtype="<u8").tobytes()
    checksum = google_crc32c.value(index).to_bytes(4, "little")
    file.write_bytes(data[chunk : 2 * chunk] + data[:chunk] + index + checksum)
    assert read(path).read(0, 32).tobytes() == fluxes(layout).tobytes()
    out = np.zeros((32, 5), dtype=np.float32)
    read(path).read_shard(0, out, np.arange(32)[::-1])
    assert out[::-1].tobytes() == fluxes(layout).tobytes()


def test_other_codecs_are_left_to_zarr(path: Path) -> None:
    layout = Layout(rows=8, pixels=5, shard_rows=8, mapped=True)
    build(path, layout)
    flux = fluxes(layout)
    array = zarr.create_array(path / "flux", data=flux.astype(">f4"), chunks=(8, 5), compressors=None, overwrite=True)
    assert shard_file(path, 0).stat().st_size == layout.bytes_of(0)
    assert array.dtype.byteorder != "="
    assert np.array_equal(read(path).read(2, 7), flux[2:7])
    out = np.zeros((8, 5), dtype=np.float32)
    read(path).read_shard(0, out, np.arange(8))
    assert np.array_equal(out, flux)
