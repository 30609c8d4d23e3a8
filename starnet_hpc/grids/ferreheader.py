"""Headers of FERRE grids: what the rows of numbers behind them mean.

Allende Prieto et al. (2006), ApJ 636, 804; the FERRE manual, section 4. A header is a Fortran namelist: ` &SYNTH`, then
`KEY = value` lines, then ` /`. With MULTI = k, k further ones follow, each for one stretch of the pixels.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import GridFormatError
from starnet_hpc.grids.textfile import opened_text
from starnet_hpc.kernels.refraction import vacuum_to_air
from starnet_hpc.labels import ELEMENT_LABELS, GRID_LABELS

_LONGEST_HEADER = 1 << 20
_KEY = re.compile(r"^\s*([A-Za-z_]\w*(?:\(\d+\))?)\s*=\s*(.*?)\s*,?\s*$")


def _spellings(name: str) -> tuple[str, ...]:
    symbol = name.removesuffix("_fe").upper()
    return f"[{symbol}/FE]", f"[{symbol}/M]", symbol


_LABELS = {
    "teff": ("TEFF", "T_EFF"),
    "logg": ("LOGG", "LOG(G)"),
    "feh": ("METALS", "[FE/H]", "FEH", "[M/H]", "METALLICITY"),
    "afe": ("[ALPHA/FE]", "[A/FE]", "ALPHA", "[ALPHA/M]", "[A/M]", "O MG SI S CA TI"),
    **{name: _spellings(name) for name in ELEMENT_LABELS.values()},
    "vmicro": ("VMICRO", "MICRO", "VMIC", "XI"),
    "log_vmicro": ("LOG10VDOP", "LOG(VMICRO)", "LOG10VMICRO"),
}
_NAMES = {spelling: name for name, spellings in _LABELS.items() for spelling in spellings}
_LN_10 = math.log(10.0)
_MOST_NODES, _MOST_PIXELS = 10_000_000, 100_000_000


@dataclass(frozen=True)
class FerreHeader:
    """What a FERRE grid holds."""

    counts: tuple[int, ...]
    """Nodes along each dimension; the last one is the fastest."""
    names: tuple[str, ...]
    """What each dimension is: a label, or `vmicro`, `log_vmicro`, or the file's own word where there is one node."""
    low: tuple[float, ...]
    steps: tuple[float, ...]
    wavelength: NDArray[np.float64]
    """[pixels], angstrom in air."""
    resolution: float | None
    """Smallest lambda / FWHM of the stretches."""
    invalid: float | None
    """Flux that says there is none."""
    constant: float
    """Was subtracted from all fluxes."""
    size: int
    """Bytes of the header, where it stands in front of the rows."""

    @property
    def nodes(self) -> int:
        """Number of rows."""
        return int(np.prod(self.counts))

    def node(self, row: int) -> dict[str, float]:
        """Return the values of all dimensions at a row."""
        index = np.unravel_index(row, self.counts)
        # Sums of steps such as 0.1 come out as 0.30000000000000004; nodes are written with fewer digits.
        values = (round(low + int(i) * step, 9) for low, step, i in zip(self.low, self.steps, index, strict=True))
        return dict(zip(self.names, values, strict=True))


def read_header(path: Path) -> FerreHeader:
    """Return the header that a file begins with.

    Raises:
        MissingInputError: there is no such file.
        GridFormatError: it is no FERRE header, lacks a key, or announces what this package cannot read.
    """
    with opened_text(path) as file:
        raw = file.read(_LONGEST_HEADER)
    main, size = _namelist(raw, 0, path)
    stretches: list[Mapping[str, str]] = []
    for _ in range(_integer(main, "MULTI", path, default=0)):
        stretch, size = _namelist(raw, size, path)
        stretches.append(stretch)
    for key in ("TRANSPOSED", "NPCA"):
        if any(value > 0 for value in _numbers(main, key, path)):
            raise GridFormatError(
                f"{path}: has {key}: transposed or PCA-compressed grids are not read; write it plainly"
            )
    dimensions = _one(_numbers(main, "N_OF_DIM", path), "N_OF_DIM", path)
    if not 1 <= dimensions <= 20:
        raise GridFormatError(f"{path}: N_OF_DIM is {dimensions:g}, expected 1 to 20; get the file again")
    counts = tuple(int(count) for count in _vector(main, "N_P", int(dimensions), path))
    if min(counts) < 1 or float(np.prod(np.array(counts, dtype=float))) > _MOST_NODES:
        raise GridFormatError(f"{path}: N_P is {counts}; numbers of nodes cannot be that: get the file again")
    return FerreHeader(
        counts=counts,
        names=_dimensions(main, counts, path),
        low=_vector(main, "LLIMITS", len(counts), path),
        steps=_vector(main, "STEPS", len(counts), path),
        wavelength=_wavelength(stretches or [main], path),
        resolution=_resolution(stretches or [main], path),
        invalid=next(iter(_numbers(main, "INVALID_CODE", path)), None),
        constant=next(iter(_numbers(main, "CONSTANT", path)), 0.0),
        size=size,
    )


def _namelist(raw: bytes, start: int, path: Path) -> tuple[dict[str, str], int]:
    """Return the keys of the header that begins at an offset, and the offset behind it."""
    values: dict[str, str] = {}
    begun, key = False, ""
    while start < len(raw):
        end = raw.find(b"\n", start) + 1 or len(raw)
        line = raw[start:end].decode("latin1").strip()
        start = end
        if not begun:
            if line and line.upper() != "&SYNTH":
                break
            begun = bool(line)
        elif line in ("/", "&END", "&end"):
            return values, start
        elif found := _KEY.match(line):
            key = found[1].upper()
            values[key] = found[2].strip("'\" ")
        elif line and key and not line.startswith("!"):
            values[key] += f" {line}"  # an array that goes on
    if not begun:
        raise GridFormatError(f"{path}: does not begin with &SYNTH (or lacks one of the MULTI headers): no FERRE grid?")
    raise GridFormatError(f"{path}: its header has no end (a line with /): it is truncated; get the file again")


def _numbers(header: Mapping[str, str], key: str, path: Path) -> list[float]:
    """Return the numbers of a key, none if it is not there."""
    text = header.get(key, "").replace(",", " ")
    try:
        values = [float(re.sub(r"(?<=[0-9.])[dD](?=[-+0-9])", "E", word)) for word in text.split()]
    except ValueError:
        raise GridFormatError(f"{path}: {key} should be numbers, but is {text[:60]!r}; get the file again") from None
    if not np.all(np.isfinite(values)):
        raise GridFormatError(f"{path}: {key} is {text[:60]!r}, not finite; get the file again")
    return values


def _one(values: Sequence[float], key: str, path: Path) -> float:
    if not values:
        raise GridFormatError(f"{path}: the header lacks {key}; get the file again")
    return values[0]


def _integer(header: Mapping[str, str], key: str, path: Path, *, default: int) -> int:
    values = _numbers(header, key, path)
    return int(values[0]) if values else default


def _vector(header: Mapping[str, str], key: str, length: int, path: Path) -> tuple[float, ...]:
    values = _numbers(header, key, path)
    if len(values) < length:
        raise GridFormatError(f"{path}: {key} has {len(values)} numbers for N_OF_DIM = {length}; get the file again")
    return tuple(values[:length])


def _dimensions(header: Mapping[str, str], counts: Sequence[int], path: Path) -> tuple[str, ...]:
    """Return what each dimension is, from LABEL(1), LABEL(2), ..."""
    names = []
    for number, count in enumerate(counts, 1):
        label = header.get(f"LABEL({number})")
        if label is None:
            raise GridFormatError(
                f"{path}: the header lacks LABEL({number}), so that nobody can tell what dimension {number} is; add "
                f"it, such as LABEL({number}) = 'TEFF'"
            )
        name = _NAMES.get(" ".join(label.upper().split()))
        if name is None and count > 1:
            raise GridFormatError(
                f"{path}: LABEL({number}) = {label!r} has {count} nodes, but is none of the labels that can be "
                f"predicted ({', '.join(_LABELS[name][0] for name in GRID_LABELS)}, [Mg/Fe], ...) or VMICRO; use a "
                f"grid without it"
            )
        names.append(name or label)
    missing = [_LABELS[name][0] for name in ("teff", "logg", "feh") if name not in names]
    if missing or len(set(names)) < len(names):
        raise GridFormatError(
            f"{path}: the dimensions are {', '.join(names)}, "
            f"but {f'{missing[0]} is not among them' if missing else 'one is there twice'}; use another grid"
        )
    return tuple(names)


def _resolution(stretches: Sequence[Mapping[str, str]], path: Path) -> float | None:
    """Return the smallest lambda / FWHM of all stretches; None where none says it (or says 0)."""
    told = [value for stretch in stretches for value in _numbers(stretch, "RESOLUTION", path)]
    return min((value for value in told if value > 0), default=None)


def _wavelength(stretches: Sequence[Mapping[str, str]], path: Path) -> NDArray[np.float64]:
    """Return the wavelengths of all stretches [pixels], angstrom in air."""
    parts = []
    for stretch in stretches:
        pixels = _one(_numbers(stretch, "NPIX", path), "NPIX", path)
        first, step = _vector(stretch, "WAVE", 2, path)
        kind = _integer(stretch, "LOGW", path, default=0)
        if not 1 <= pixels <= _MOST_PIXELS or kind not in (0, 1, 2):
            raise GridFormatError(f"{path}: NPIX is {pixels:g}, LOGW is {kind}; expected at least 1, and 0, 1 or 2")
        axis = first + step * np.arange(int(pixels))
        with np.errstate(over="ignore"):
            wavelength = axis if kind == 0 else np.exp(axis * (_LN_10 if kind == 1 else 1.0))
        if not (step > 0 and wavelength[0] > 100.0 and wavelength[-1] < 1e8):
            raise GridFormatError(
                f"{path}: WAVE = {first:g} {step:g} with LOGW = {kind} gives {wavelength[0]:g} to "
                f"{wavelength[-1]:g} A: another LOGW, or another unit? Angstrom are expected"
            )
        parts.append(
            vacuum_to_air(np.asarray(wavelength)) if _integer(stretch, "VACUUM", path, default=0) else wavelength
        )
    return np.concatenate(parts)
