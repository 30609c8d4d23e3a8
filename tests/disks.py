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
    """Give a file system of 2 MB. Only root can mount one; CI is root, and takes a skip for a failure."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_up(disk: Path, *, leave: int) -> Path:
    """Fill a disk with a file until so many bytes are free; return the file."""
    ballast = disk / ".ballast"
    ballast.write_bytes(bytes(max(shutil.disk_usage(disk).free - leave - _BLOCK, 0) // _BLOCK * _BLOCK))
    return ballast
