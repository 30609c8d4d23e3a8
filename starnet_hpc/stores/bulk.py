"""Many bytes to a file, past the page cache where the system allows it.

The system's copy of a shard takes a quarter to a half of the time in which its spectra are made (each of its pages has
to be found and cleared first), and evicts the templates that the next shard needs.
"""

import fcntl
import math
import mmap
import os
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PAGE = 4096
"""Bytes; where direct writes begin and end must be multiples of it, in memory and in the file."""
_LEAST = 1 << 20
"""Fewer bytes are not worth the disk's answer to each write."""


def page_aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array that begins at a page of memory, so that `write_bulk` can hand it to the disk as it is."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, max(size, 1)), dtype=dtype, count=math.prod(shape)).reshape(shape)


def write_bulk(file: IO[bytes], values: NDArray[Any]) -> None:
    """Write an array's bytes at the end of a new file; directly to the disk if they are many and begin at a page."""
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    whole = data.size - data.size % _PAGE
    written = 0
    if data.ctypes.data % _PAGE == 0 and whole >= _LEAST and hasattr(os, "O_DIRECT"):
        file.flush()
        if file.tell() == 0:
            written = _write_directly(file.fileno(), data[:whole])
            file.seek(written)
    file.write(data[written:].data)


def _write_directly(number: int, data: NDArray[np.uint8]) -> int:
    """Write bytes to an open file and return how many; what is left, the ordinary way can write, or say why not."""
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    written = 0
    try:
        fcntl.fcntl(number, fcntl.F_SETFL, flags | os.O_DIRECT)
        while written < data.size:
            count = os.write(number, data[written:].data)
            written += count
            if not count or count % _PAGE:  # a limit was met in the middle of a page
                break
    except OSError:
        pass  # not every file system has it; a full disk is told by the ordinary way
    finally:
        fcntl.fcntl(number, fcntl.F_SETFL, flags)
    return written
