"""Disks with little space left, for real."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BLOCK = 4096


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Give a file system of 2 MB, which only root can mount, as CI is."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_up(disk: Path, *, leave: int) -> Path:
    """Fill a disk with a file until so many bytes are free; return the file."""
    ballast = disk / ".ballast"
    ballast.write_bytes(bytes(max(shutil.disk_usage(disk).free - leave - _BLOCK, 0) // _BLOCK * _BLOCK))
    return ballast
