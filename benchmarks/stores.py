"""Inner chunks and codec of a store, by what reading costs: whole shards (training) and rows at random (figures).

    python -m benchmarks.stores [--templates reference.npz] [--shards 4] [--folder DIRECTORY]

Augmented spectra of 39,436 pixels in float16 are written as shards of 512 rows in every layout, and read back by Zarr
and by reading a shard's file at the places that its index names (`direct`), beside a plain `readinto` of the same
fluxes from an uncompressed file, by turns. MB are those of the fluxes, whatever a codec makes of them. CPU times are
those of all threads; `cold` has the files dropped from the page cache first.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd, blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, ZstdCodec

from benchmarks.augment import NATIVE, Draw, Kernels, made_up_templates, read_templates
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import Layout, building, open_store, write_shard

Array = NDArray[Any]

SHARD_ROWS, INNER_ROWS, RANDOM_ROWS, REPEATS = 512, (1, 4, 16, 64, 512), 64, 3
BLOSC_LZ4 = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
BLOSC_ZSTD = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
CODECS: dict[str, tuple[Any, Callable[[bytes], bytes]]] = {
    "none": (None, lambda chunk: chunk),
    "zstd 1": (ZstdCodec(level=1), Zstd().decode),
    "blosc-lz4-bitshuffle": (BLOSC_LZ4, blosc.decompress),
    "blosc-zstd-bitshuffle 1": (BLOSC_ZSTD, blosc.decompress),
}


@dataclass
class Cost:
    """What one piece of work took [s]."""

    cpu: float
    wall: float


class Case:
    """One layout on disk."""

    def __init__(self, path: Path, inner: int, codec: str, flux: Array) -> None:
        self.inner, self.codec, self.path = inner, codec, path
        self.shards, self.pixels = flux.shape[0] // SHARD_ROWS, flux.shape[1]
        array = zarr.create_array(
            path,
            shape=flux.shape,
            chunks=(inner, self.pixels),
            shards=(SHARD_ROWS, self.pixels),
            dtype="float16",
            serializer=BytesCodec(),
            compressors=CODECS[codec][0],
        )
        array = array.with_config({"write_empty_chunks": True})

        def write() -> None:
            for shard in range(self.shards):
                rows = slice(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS)
                array[rows] = flux[rows]

        self.written = measured(write)
        self.files = [path / "c" / str(shard) / "0" for shard in range(self.shards)]
        self.bytes = sum(file.stat().st_size for file in self.files)
        self.array = zarr.open_array(path, mode="r")

    def by_zarr(self) -> None:
        for shard in range(self.shards):
            np.asarray(self.array[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS])

    def rows_by_zarr(self, rows: list[int]) -> list[Array]:
        return [np.asarray(self.array[row : row + 1]) for row in rows]

    def direct(self) -> None:
        for file in self.files:
            self.shard(file)

    def shard(self, file: Path) -> Array:
        """Return the fluxes of a shard [rows, pixels]."""
        out = np.empty((SHARD_ROWS, self.pixels), dtype=np.float16)
        places = self.index(file)
        with file.open("rb", buffering=0) as opened:
            if self.codec == "none":
                assert np.array_equal(places[:, 0], np.arange(len(places)) * places[0, 1])
                assert opened.readinto(memoryview(out).cast("B")) == out.nbytes
                return out
            data = opened.read()
        decode = CODECS[self.codec][1]
        for number, (offset, length) in enumerate(places.tolist()):
            chunk = np.frombuffer(decode(data[offset : offset + length]), dtype=np.float16)
            out[number * self.inner : (number + 1) * self.inner] = chunk.reshape(self.inner, -1)
        return out

    def rows_direct(self, rows: list[int]) -> list[Array]:
        found = []
        for row in rows:
            shard, inside = divmod(row, SHARD_ROWS)
            number, place = divmod(inside, self.inner)
            offset, length = self.index(self.files[shard])[number].tolist()
            with self.files[shard].open("rb", buffering=0) as opened:
                if self.codec == "none":
                    size = 2 * self.pixels
                    found.append(np.frombuffer(os.pread(opened.fileno(), size, offset + place * size), np.float16))
                    continue
                data = os.pread(opened.fileno(), length, offset)
            chunk = np.frombuffer(CODECS[self.codec][1](data), np.float16)
            found.append(chunk.reshape(self.inner, -1)[place])
        return found

    def index(self, file: Path) -> Array:
        """Return offset and length of each inner chunk; Zarr checks a checksum of it, too."""
        count = SHARD_ROWS // self.inner
        with file.open("rb", buffering=0) as opened:
            tail = os.pread(opened.fileno(), 16 * count + 4, file.stat().st_size - 16 * count - 4)
        return np.frombuffer(tail[:-4], dtype="<u8").reshape(count, 2).astype(np.int64)


class Plain:
    """The same fluxes in files of nothing else."""

    def __init__(self, folder: Path, flux: Array) -> None:
        self.pixels = flux.shape[1]
        self.files = [folder / f"plain-{k}" for k in range(flux.shape[0] // SHARD_ROWS)]
        for k, file in enumerate(self.files):
            file.write_bytes(flux[k * SHARD_ROWS : (k + 1) * SHARD_ROWS].tobytes())

    def whole(self) -> None:
        for file in self.files:
            out = np.empty((SHARD_ROWS, self.pixels), dtype=np.float16)
            with file.open("rb", buffering=0) as opened:
                assert opened.readinto(memoryview(out).cast("B")) == out.nbytes

    def rows(self, rows: list[int]) -> None:
        size = 2 * self.pixels
        for row in rows:
            shard, inside = divmod(row, SHARD_ROWS)
            out = np.empty(self.pixels, dtype=np.float16)
            with self.files[shard].open("rb", buffering=0) as opened:
                opened.seek(inside * size)
                assert opened.readinto(memoryview(out).cast("B")) == size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=Path, help=".npz with wl and norm; made up by default")
    parser.add_argument("--shards", type=int, default=4, help="shards of 512 rows to write (default 4: 161 MB)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's folder for such files)")
    options = parser.parse_args()
    flux = spectra(options.templates, options.shards * SHARD_ROWS)
    rows = np.random.default_rng(5).permutation(flux.shape[0])[:RANDOM_ROWS].tolist()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        print(f"{flux.shape[0]} spectra of {flux.shape[1]} pixels, {flux.nbytes / 1e6:.0f} MB\n")
        print(HEADING)
        print("|" + "---|" * (HEADING.count("|") - 1))
        for inner in INNER_ROWS:
            for codec in CODECS:
                print(line(Path(scratch) / f"{inner}-{codec}", inner, codec, flux, rows), flush=True)
        print(f"\n{package(Path(scratch) / 'package.zarr', flux, rows)}")


HEADING = (
    "| inner rows | codec | bytes | write: CPU, wall | shards by Zarr: CPU, wall, cold | direct: CPU, wall, cold "
    "| readinto: CPU, wall, cold | rows by Zarr: CPU, cold | direct: CPU, cold | readinto: CPU, cold |"
)


def line(path: Path, inner: int, codec: str, flux: Array, rows: list[int]) -> str:
    """Return a line of the table: MB/s of whole shards, and milliseconds of a random row."""
    case = Case(path, inner, codec, flux)
    plain = Plain(path, flux)  # anew, since files that were read back from the disk lie otherwise in the page cache
    assert all(np.array_equal(found[0], flux[row]) for found, row in zip(case.rows_by_zarr(rows), rows, strict=True))
    assert all(np.array_equal(found, flux[row]) for found, row in zip(case.rows_direct(rows), rows, strict=True))
    ways: dict[str, tuple[Callable[[], object], list[Path]]] = {
        "zarr": (case.by_zarr, case.files),
        "direct": (case.direct, case.files),
        "readinto": (plain.whole, plain.files),
        "row zarr": (lambda: case.rows_by_zarr(rows), case.files),
        "row direct": (lambda: case.rows_direct(rows), case.files),
        "row readinto": (lambda: plain.rows(rows), plain.files),
    }
    warm: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(REPEATS):  # by turns, so that a neighbour on this machine disturbs all alike
        for name, (work, _) in ways.items():
            warm[name].append(measured(work))
    cold = {name: chilled(work, files) for name, (work, files) in ways.items()}
    mb = flux.nbytes / 1e6

    def shards(name: str) -> str:
        cpu, wall = min(cost.cpu for cost in warm[name]), min(cost.wall for cost in warm[name])
        return f"{mb / cpu:.0f}, {mb / wall:.0f}, {mb / cold[name].wall:.0f}"

    def row(name: str) -> str:
        return f"{1e3 * min(c.cpu for c in warm[name]) / len(rows):.3f}, {1e3 * cold[name].wall / len(rows):.2f}"

    write = f"{mb / case.written.cpu:.0f}, {mb / case.written.wall:.0f}"
    cells = [
        f"{inner} | {codec} | {case.bytes / flux.nbytes:.3f} | {write}",
        *(shards(name) for name in ("zarr", "direct", "readinto")),
        *(row(name) for name in ("row zarr", "row direct", "row readinto")),
    ]
    shutil.rmtree(path)
    return f"| {' | '.join(cells)} |"


def package(path: Path, flux: Array, rows: list[int]) -> str:
    """Return what the package's own writer and reader take."""
    layout = Layout(*flux.shape, SHARD_ROWS, "float16")
    wavelength = np.arange(flux.shape[1], dtype=np.float64)
    with building(path, recipe={}, layout=layout, wavelength=wavelength, columns={}, attributes={}) as build:
        parts = [(k, flux[k * SHARD_ROWS : (k + 1) * SHARD_ROWS]) for k in range(layout.shards)]
        written = measured(lambda: [write_shard(path, layout, build.recipe_digest, k, part, {}) for k, part in parts])
        build.finalise()
    store = open_store(path, made_by="")
    whole = [measured(lambda: [store.read(k * SHARD_ROWS, (k + 1) * SHARD_ROWS) for k, _ in parts]) for _ in range(3)]
    single = [measured(lambda: [store.read(row, row + 1) for row in rows]) for _ in range(3)]
    mb, row = flux.nbytes / 1e6, 1e3 * min(c.cpu for c in single) / len(rows)
    return (
        f"write_shard, with checks, digests and fsync: {mb / written.cpu:.0f} MB/s CPU, {mb / written.wall:.0f} wall. "
        f"Store.read: whole shards {mb / min(c.cpu for c in whole):.0f} MB/s CPU, "
        f"{mb / min(c.wall for c in whole):.0f} wall; a random row {row:.3f} ms CPU."
    )


def measured(work: Callable[[], object]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def chilled(work: Callable[[], object], files: list[Path]) -> Cost:
    """Measure with the files out of this machine's page cache, as far as the system follows the advice."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return measured(work)


def spectra(templates: Path | None, count: int) -> Array:
    """Return augmented spectra [count, pixels] as they are stored."""
    native, fluxes = read_templates(templates) if templates else (NATIVE, made_up_templates())
    kernels, rng = Kernels(native, load_instrument("uves_4835_5395")), np.random.default_rng(4)
    on_grid = [kernels.spline(flux).astype(np.float32) for flux in fluxes]
    return np.stack([kernels.augment(on_grid[row % len(on_grid)], Draw(rng), row) for row in range(count)])


if __name__ == "__main__":
    main()
