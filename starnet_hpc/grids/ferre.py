"""FERRE: one file a grid, `.dat` (text) or `.hdr` with `.unf` (binary), a row of fluxes for each node of a lattice.

Allende Prieto et al. (2018), A&A 618, A25. A folder may hold several files (the subgrids in temperature): their nodes
are one grid. Where a file has no dimension for it, [alpha/Fe] follows [Fe/H] by a fixed rule; it is then no label, and
nothing predicts it.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import EmptyNodeError, GridFormatError
from starnet_hpc.grids.ferreheader import FerreHeader, read_header
from starnet_hpc.grids.folders import file_state, listed_files
from starnet_hpc.grids.template import TemplateSource, TemplateSpectrum, Window, check_template, part_inside
from starnet_hpc.grids.textfile import opened_text, parse_numbers
from starnet_hpc.labels import ordered

_TEXT, _HEADER, _BINARY = ".dat", ".hdr", ".unf"
_CHUNK = 1 << 24
_AGAIN = "copy or download it again"


class Ferre:
    """Reader of the `.dat` and `.hdr` files in a folder; of two with the same name the binary one is taken."""

    format = "ferre"

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels that are dimensions of the files, the same in all of them."""
        kinds = {path: ordered(_header(path).names) for path in _files(folder)}
        found = set(kinds.values())
        if len(found) > 1:
            told = "; ".join(f"{path.name}: {', '.join(names)}" for path, names in kinds.items())
            raise GridFormatError(
                f"{folder}: its files vary different labels ({told}); put them into folders of their own"
            )
        return found.pop()

    def sources(self, folder: Path) -> list[TemplateSource]:
        """Return the nodes of all files, sorted by file and row; empty nodes among them are found by `read`.

        Subgrids overlap: of a node that several files have, the first file's is taken.
        """
        seen: set[tuple[float, ...]] = set()
        found = []
        for path in _files(folder):
            header = _header(path)
            nodes = [tuple(header.node(row)[name] for name in sorted(header.names)) for row in range(header.nodes)]
            found += [TemplateSource(path, row) for row, node in enumerate(nodes) if node not in seen]
            seen.update(nodes)
        return found

    def companions(self, sources: Sequence[TemplateSource]) -> list[Path]:
        """Return the binary files beside the headers."""
        return sorted({source.path.with_suffix(_BINARY) for source in sources if source.path.suffix == _HEADER})

    def read(self, source: TemplateSource, window: Window | None = None) -> TemplateSpectrum:
        """Return the template in a row.

        Raises:
            EmptyNodeError: the row holds zeros, or what the header gives as INVALID_CODE.
            GridFormatError: the file is damaged, or is no FERRE grid.
            MissingInputError: there is no such file.
        """
        path, row = source.path, source.row or 0
        header = _header(path)
        if row >= header.nodes:
            raise GridFormatError(f"{path}: has {header.nodes} nodes, there is no row {row}")
        flux = (_binary_row if path.suffix == _HEADER else _text_row)(path, header, row)
        part = part_inside(header.wavelength, window)
        wavelength, flux = header.wavelength[part], flux[part]
        if not flux.any() or (header.invalid is not None and np.all(np.isclose(flux, header.invalid, rtol=1e-5))):
            raise EmptyNodeError(f"{path}: row {row} is a node without a spectrum")
        values = header.node(row)
        labels = {name: values[name] for name in ordered(values)}
        template = TemplateSpectrum(
            wavelength, flux + header.constant, labels, source.name, _extra(values), header.resolution
        )
        return check_template(template, Path(f"{path}#{row}"))


def alpha_of(feh: float) -> float:
    """Return the [alpha/Fe] of FERRE's grids without a dimension for it (Bialek et al. 2020, table 1), both in dex."""
    return float(np.interp(feh, (-1.5, 0.0), (0.5, 0.0)))


def _extra(values: dict[str, float]) -> dict[str, float]:
    extra = {} if "afe" in values else {"afe": alpha_of(values["feh"])}
    if "vmicro" in values:
        extra["vmicro"] = values["vmicro"]
    if "log_vmicro" in values:
        extra["vmicro"] = 10.0 ** values["log_vmicro"]
    return extra


def _files(folder: Path) -> list[Path]:
    what = f"FERRE grid (*{_TEXT}, or *{_HEADER} with *{_BINARY})"
    files = listed_files(folder, lambda name: name.endswith((_TEXT, _HEADER)), what, GridFormatError, "grid.path")
    binary = {path.stem for path in files if path.suffix == _HEADER}
    return [path for path in files if path.suffix == _HEADER or path.stem not in binary]


def _header(path: Path) -> FerreHeader:
    return _cached_header(path, *file_state(path))


@lru_cache(maxsize=16)
def _cached_header(path: Path, size: int, modified: int) -> FerreHeader:
    return read_header(path)


def _text_row(path: Path, header: FerreHeader, row: int) -> NDArray[np.float64]:
    starts = _row_starts(path, *file_state(path))
    if len(starts) - 1 != header.nodes:
        raise GridFormatError(
            f"{path}: has {len(starts) - 1} rows of fluxes, but N_P = {' x '.join(map(str, header.counts))} makes "
            f"{header.nodes}: it is truncated, or N_P is wrong; {_AGAIN}"
        )
    numbers = parse_numbers(_piece(path, int(starts[row]), int(starts[row + 1] - starts[row])))
    if numbers is None or numbers.shape[0] != 1:
        raise GridFormatError(f"{path}: row {row} holds something that is no number: damaged, or truncated; {_AGAIN}")
    if numbers.size != header.wavelength.size:
        raise GridFormatError(
            f"{path}: row {row} has {numbers.size} fluxes, but NPIX is {header.wavelength.size}; {_AGAIN}"
        )
    fluxes: NDArray[np.float64] = numbers[0]
    return fluxes


@lru_cache(maxsize=16)
def _row_starts(path: Path, size: int, modified: int) -> NDArray[np.int64]:
    """Return where each row of a text file begins, and where the last one ends (bytes), however many there are.

    Rows of equal length, as Fortran writes them, are found without reading the file.
    """
    header = _cached_header(path, size, modified)
    with opened_text(path) as file:
        file.seek(header.size)
        length = len(file.readline())
        guess = header.size + length * np.arange(header.nodes + 1, dtype=np.int64)
        if length and size in (guess[-1], guess[-1] - 1) and _are_rows(file, guess):
            return guess
        return _scan(file, header.size, size)


def _are_rows(file: IO[bytes], starts: NDArray[np.int64]) -> bool:
    """Whether a line ends in front of each of these offsets; some of many are looked at."""
    for start in starts[1 : -1 : max(1, starts.size // 1000)]:
        file.seek(int(start) - 1)
        if file.read(2)[:1] != b"\n":
            return False
    return True


def _scan(file: IO[bytes], start: int, size: int) -> NDArray[np.int64]:
    """Return the beginnings of all lines that are not empty, and the file's size."""
    file.seek(start)
    ends = []
    offset = start
    while chunk := file.read(_CHUNK):
        ends.append(np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == ord("\n")) + offset + 1)
        offset += len(chunk)
    edges = np.unique(np.concatenate([[start], *ends, [size]]).astype(np.int64))
    while edges.size > 1 and _is_blank(file, int(edges[-2]), size):  # empty lines at the end
        edges = edges[:-1]
    return edges


def _is_blank(file: IO[bytes], start: int, size: int) -> bool:
    file.seek(start)
    return not file.read(min(size - start, 64)).split(b"\n")[0].strip()


def _binary_row(path: Path, header: FerreHeader, row: int) -> NDArray[np.float64]:
    """Return a row of the `.unf` beside a header: float32 records of NPIX numbers, without marks between them."""
    binary = path.with_suffix(_BINARY)
    pixels = header.wavelength.size
    size, _ = file_state(binary)
    if size != (wanted := 4 * pixels * header.nodes):
        raise GridFormatError(
            f"{binary}: has {size} bytes, but {header.nodes} nodes of {pixels} float32 make {wanted}: truncated, or "
            f"written by another compiler; use the text file ({_TEXT})"
        )
    raw = _piece(binary, 4 * pixels * row, 4 * pixels)
    return np.frombuffer(raw, dtype="<f4").astype(np.float64)


def _piece(path: Path, start: int, count: int) -> bytes:
    with opened_text(path) as file:
        file.seek(start)
        return file.read(count)
