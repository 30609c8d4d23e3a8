"""One shard's file as Zarr lays it out, written and read in one go: inner chunks one after the other, then their index.

Zarr's own writer cuts a shard into chunks, encodes and joins them: three more copies of every byte, which take half as
long as making the spectra; its reader takes 20 times as long as the system does to hand over the bytes
(benchmarks/RESULTS.md). Uncompressed chunks that span whole rows are the rows themselves, in order.
(Zarr v3 specification, codec `sharding_indexed` with the index at the end.)
"""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.stores.bulk import write_bulk
from starnet_hpc.stores.layout import Layout

_ABSENT = np.uint64(2**64 - 1)
"""Offset and length of an inner chunk that the shard does not hold."""
_MOST_VECTORS = max(os.sysconf("SC_IOV_MAX"), 16)
"""Pieces of memory that the system fills in one call; POSIX promises 16, Linux takes 1,024."""


def write_rows(file: IO[bytes], layout: Layout, flux: NDArray[np.floating[Any]]) -> None:
    """Write the fluxes [rows of a shard, pixels] of one shard, with what Zarr expects around them.

    Args:
        file: a new binary file.
        layout: of the store.
        flux: of the store's dtype; a short last shard has fewer rows than the others.
    """
    rows, chunk_rows = flux.shape[0], layout.shard_rows if layout.mapped else layout.inner_rows
    chunks = -(-rows // chunk_rows)
    write_bulk(file, np.ascontiguousarray(flux, dtype=flux.dtype.newbyteorder("<")))
    # The last chunk is whole as well: Zarr fills it up.
    file.write(np.full((chunks * chunk_rows - rows, layout.pixels), np.nan, dtype=flux.dtype).data)
    file.write(_index(layout, rows))


def read_rows(path: Path, layout: Layout, shard: int, first: int, out: NDArray[np.floating[Any]]) -> bool:
    """Fill `out` [n, pixels] with consecutive rows of one shard, and return True if its file is laid out as ours are.

    False says that the index is not what `write_rows` writes, or is damaged: Zarr, which checks its checksum, may know.

    Args:
        path: the shard's file.
        layout: of the store.
        shard: which one.
        first: place of the first row in the shard.
        out: C-contiguous, of the store's dtype.

    Raises:
        FileNotFoundError: there is no such file.
        EOFError: it has not the bytes that the layout says, or loses them meanwhile.
    """
    with _plain_file(path, layout, shard) as file:
        if file is None:
            return False
        file.seek(first * layout.pixels * out.itemsize)
        rest = out.data.cast("B")
        while rest:  # Linux hands over 2 GB at once at most
            count = file.readinto(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
    return True


def scatter_rows(
    path: Path, layout: Layout, shard: int, out: NDArray[np.floating[Any]], places: NDArray[np.int64]
) -> bool:
    """Read all rows of one shard from its file straight to where they are wanted: the k-th to `out[places[k]]`.

    The file is read from its beginning to its end whatever the places are, and nothing is copied twice. What comes back
    and what is raised is as for `read_rows`.

    Args:
        path: the shard's file.
        layout: of the store.
        shard: which one.
        out: [n, pixels], C-contiguous, of the store's dtype.
        places: of the shard's rows in `out`, each another.
    """
    size = layout.pixels * out.itemsize
    data = out.data.cast("B")
    rows = [data[place * size : (place + 1) * size] for place in places.tolist()]
    with _plain_file(path, layout, shard) as file:
        if file is None:
            return False
        done = 0
        while done < len(rows) * size:
            row, inside = divmod(done, size)  # a call may end in the middle of a row
            count = os.preadv(file.fileno(), [rows[row][inside:], *rows[row + 1 : row + _MOST_VECTORS]], done)
            if not count:
                raise EOFError
            done += count
    return True


@contextmanager
def _plain_file(path: Path, layout: Layout, shard: int) -> Iterator[io.FileIO | None]:
    """Open a shard's file; None says that its rows do not lie there one after the other, or that nobody knows."""
    index = _index(layout, len(layout.rows_of(shard)))
    with io.FileIO(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != layout.bytes_of(shard):
            raise EOFError
        yield file if os.pread(file.fileno(), len(index), size - len(index)) == index else None


def digest_rows(flux: NDArray[np.floating[Any]]) -> str:
    """Return the digest of fluxes [rows, pixels]."""
    return digest_of(map(checksum, flux), flux.dtype.name, flux.shape[1])


def checksum(row: NDArray[np.floating[Any]]) -> int:
    """Return the CRC-32C of one row's fluxes [pixels]."""
    value: int = google_crc32c.value(np.ascontiguousarray(row).view(np.uint8))
    return value


def digest_of(checksums: Iterable[int], dtype: str, pixels: int) -> str:
    """Return the digest of rows with these checksums.

    Any damage within 32 neighbouring bits of a row is found for certain, any other but for one case in four thousand
    million; a cryptographic digest of all bytes would take a seventh of the time in which the spectra are made.
    """
    return provenance.digest_recipe({"crc32c": list(checksums), "dtype": dtype, "pixels": pixels})


def _index(layout: Layout, rows: int) -> bytes:
    """Return what stands at the end of a shard with so many rows: places of its chunks, and their checksum."""
    if layout.mapped:
        return b""
    chunks, size = -(-rows // layout.inner_rows), layout.inner_rows * layout.pixels * np.dtype(layout.dtype).itemsize
    index = np.full((layout.shard_rows // layout.inner_rows, 2), _ABSENT, dtype="<u8")
    index[:chunks, 0] = np.arange(chunks) * size
    index[:chunks, 1] = size
    checksum: bytes = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    return index.tobytes() + checksum
