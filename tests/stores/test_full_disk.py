"""No space left on the disk: it is said where and what to do, nothing looks finished, and a rerun completes."""

import errno
import os
import signal
from pathlib import Path

import pytest

from starnet_hpc.errors import StarnetError, StorageFullError
from starnet_hpc.stores import Layout, explain_full_disk, is_complete, write_atomically, write_json
from tests.disks import fill_up, small_disk
from tests.stores.cases import build, read
from tests.support import run

LAYOUT = Layout(rows=200, pixels=500, shard_rows=32, dtype="float16")  # seven shards of 32 KB


def pages(folder: Path) -> int:
    """Return the bytes that the files of a folder take on a tmpfs, in pages of 4 KB."""
    return sum(-(-file.stat().st_size // 4096) * 4096 for file in folder.rglob("*") if file.is_file())


# Room for nothing, for the first files only, for some shards, for all shards but not the end.
@pytest.mark.parametrize("share", [0.0, 0.05, 0.12, 0.3, 0.6, 0.9, 0.97])
def test_a_full_disk_is_explained_and_a_rerun_completes_identically(tmp_path: Path, share: float) -> None:
    build(tmp_path / "undisturbed.zarr", LAYOUT)
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "train.zarr"
        ballast = fill_up(disk, leave=int(share * pages(tmp_path)))
        with pytest.raises(StorageFullError, match=rf"{disk}.*no space left on the disk .* run the same command again"):
            build(path, LAYOUT)
        assert not is_complete(path)
        with pytest.raises(StarnetError):
            read(path)
        ballast.unlink()
        build(path, LAYOUT)
        store, undisturbed = read(path), read(tmp_path / "undisturbed.zarr")
        assert store.content_digest == undisturbed.content_digest
        assert store.read(0, 200).tobytes() == undisturbed.read(0, 200).tobytes()
        assert not list(disk.rglob("*.partial"))


def test_what_stood_there_survives_a_write_that_does_not_fit(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        write_json(disk / "state.json", {"step": 1})
        fill_up(disk, leave=20_000)
        with pytest.raises(StorageFullError, match=r"state\.json: no space left"):
            write_atomically(disk / "state.json", lambda file: file.write(bytes(100_000)))
        assert (disk / "state.json").read_text() == '{\n "step": 1\n}'
        assert not list(disk.glob(".state*"))


def test_a_limit_of_file_sizes_is_explained_like_a_full_disk(tmp_path: Path) -> None:
    """Without root: the system refuses files beyond 20 KB, which shards are."""
    program = f"""
import resource
from pathlib import Path
from tests.stores.cases import build
from tests.stores.test_full_disk import LAYOUT
from starnet_hpc.errors import StorageFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    build(Path({str(tmp_path / "train.zarr")!r}), LAYOUT)
except StorageFullError as error:
    raise SystemExit(f"told: {{error}}")
"""
    said = run("-c", program)
    file = tmp_path / "train.zarr" / "flux" / "c" / "0" / "0"
    assert said.stderr.startswith(f"told: {file}: no space left on the disk (or a quota or a limit")
    assert not is_complete(tmp_path / "train.zarr")
    assert build(tmp_path / "train.zarr", LAYOUT) == list(range(7))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOENT])
def test_other_faults_of_the_system_are_not_called_a_full_disk(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught, explain_full_disk(tmp_path):
        raise OSError(number, os.strerror(number))
    assert not isinstance(caught.value, StorageFullError)


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path) -> None:
    def interrupted(file: object) -> None:
        raise KeyboardInterrupt(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.json", interrupted)
    assert not list(tmp_path.iterdir())
