"""Bytes that go past the page cache are the same bytes, wherever they end."""

import io
import resource
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.stores.bulk import page_aligned, write_bulk
from tests.support import run


@pytest.mark.parametrize("size", [0, 100, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 4097])
@pytest.mark.parametrize("shift", [0, 1])
def test_a_file_holds_the_bytes_of_an_array_of_any_size_and_place(tmp_path: Path, size: int, shift: int) -> None:
    room = page_aligned((size + shift,), np.uint8)
    assert room.ctypes.data % resource.getpagesize() == 0
    room[:] = np.random.default_rng(size).integers(0, 256, room.size, dtype=np.uint8)
    with (tmp_path / "file").open("wb") as file:
        write_bulk(file, room[shift:])
        file.write(b"and more")
    assert (tmp_path / "file").read_bytes() == room[shift:].tobytes() + b"and more"


def test_it_goes_on_behind_what_was_written_before(tmp_path: Path) -> None:
    room = page_aligned((2 << 20,), np.uint8)
    room[:] = 7
    with (tmp_path / "file").open("wb") as file:
        file.write(b"head")
        write_bulk(file, room)
    assert (tmp_path / "file").read_bytes() == b"head" + room.tobytes()


def test_a_limit_in_the_middle_is_told(tmp_path: Path) -> None:
    program = f"""
import resource, signal
import numpy as np
from starnet_hpc.stores.bulk import page_aligned, write_bulk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
with open({str(tmp_path / "file")!r}, "wb") as file:
    try:
        write_bulk(file, page_aligned((3 << 20,), np.uint8))
    except OSError as error:
        raise SystemExit(f"told: {{error.strerror}}")
"""
    assert run("-c", program).stderr == "told: File too large\n"


def test_a_file_in_memory_is_written_as_well() -> None:
    file = io.BytesIO()
    write_bulk(file, np.arange(5, dtype=np.float32))
    assert file.getvalue() == np.arange(5, dtype=np.float32).tobytes()
