"""What the C library's malloc does with memory that is freed: it may keep it, or give it back to the system.

The system clears each page that it hands out. Where arrays of many megabytes come and go a hundred times a second, that
takes a good part of the time.
"""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
"""Of mallopt(3)."""


def keep_freed_memory() -> None:
    """Let this process keep all that it frees, for what it asks for next; its memory stays at the most it has had."""
    _tell_malloc({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})


def set_thresholds(trim: int, mmap: int) -> None:
    """Set from how many freed bytes on memory is given back, and from what size on a piece is the system's own."""
    _tell_malloc({_M_TRIM_THRESHOLD: trim, _M_MMAP_THRESHOLD: mmap})


def _tell_malloc(settings: dict[int, int]) -> None:
    libc = ctypes.CDLL(None)
    with suppress(AttributeError):  # another C library
        for parameter, value in settings.items():
            libc.mallopt(parameter, value)
