"""What malloc keeps of the memory that is freed."""

import platform

import pytest

from tests import support

PROGRAM = """
from pathlib import Path
from resource import getpagesize
import numpy as np
from starnet_hpc.allocation import keep_freed_memory, set_thresholds

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() >> 20

{first}
before = resident()
np.ones(64 << 20, dtype=np.uint8)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
@pytest.mark.parametrize(
    ("first", "kept"), [("", 0), ("keep_freed_memory()", 64), ("set_thresholds(trim=256 << 20, mmap=32 << 20)", 0)]
)
def test_freed_memory_is_kept_from_the_size_on_that_is_said(first: str, kept: int) -> None:
    ended = support.run("-c", PROGRAM.format(first=first), MALLOC_MMAP_THRESHOLD_=str(1 << 20))
    assert int(ended.stdout) == pytest.approx(kept, abs=4), ended.stderr
