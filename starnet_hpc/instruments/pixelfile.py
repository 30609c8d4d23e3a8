"""Pixel centres from files: text, NumPy arrays, FITS tables and images; and rules behind rounded numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config.spectra import FEWEST_PIXELS
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments.listfile import read_list

_UNITS = {
    "angstrom": ("angstrom", "angstroms", "a", "aa", "ang", "0.1nm", "0.1 nm"),
    "nm": ("nm", "nanometer", "nanometers", "nanometre"),
    "um": ("um", "micron", "microns", "micrometer", "micrometre"),
}
_LINEAR = ("", "LINEAR", "LAMBDA", "WAVELENGTH", "AWAV", "WAVE")
"""Values of CTYPE1 of an axis that is linear in wavelength, in capitals."""
_COARSE = 1e-3
"""Numbers rounded to more than this share of a step are worth a rule instead."""
_FLOAT32_ERROR, _DECIMAL_ERROR = 2.5, 0.51
"""Largest deviation from a rule, in units of the rounding: half of it, and what sums of rounded steps add."""


@dataclass(frozen=True)
class PixelFile:
    """What a file says about pixel centres."""

    centre: NDArray[np.float64]
    """[pixels], increasing, in the file's unit."""
    unit: str | None
    """`angstrom`, `nm` or `um`, where the file says it."""
    rounding: float
    """Distance of neighbouring numbers that the file can tell apart, in its unit."""
    single: bool
    """Whether the rounding is that of single precision."""


@dataclass(frozen=True)
class Rule:
    """Pixel centres start + step * i, or start * exp(step * i)."""

    start: float
    step: float
    logarithmic: bool

    def centre(self, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return centres [n] of pixels by their number [n], which may be half-integer for edges."""
        return self.start * np.exp(self.step * pixel) if self.logarithmic else self.start + self.step * pixel


def read_pixels(path: Path, column: str | None = None) -> PixelFile:
    """Return the pixel centres in a file.

    Raises:
        ConfigError: the file cannot be read, or its numbers cannot be pixel centres; names file and row.
    """
    name = path.name.lower()
    try:
        if name.endswith(".npy"):
            values, unit = _from_numpy(path, column), None
        elif name.endswith((".fits", ".fit", ".fits.gz")):
            values, unit = _from_fits(path, column)
        else:
            values, unit = _from_text(path, column), None
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except PermissionError:
        raise ConfigError(f"{path}: may not be read; ask its owner for the right to") from None
    except Exception as error:  # noqa: BLE001 - astropy and NumPy raise a score of kinds over damaged files
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"{path}: cannot be read as a file of pixel centres ({said}); get or write it again"
        ) from None
    centre = values.astype(np.float64)
    _check(centre, path)
    rounding, single = _rounding(values)
    return PixelFile(centre, unit, rounding, single)


def rule_behind(found: PixelFile) -> Rule | None:
    """Return the rule whose rounded values are in a file, with the roundest numbers that fit; None if there is none.

    Also None where the rounding is too fine to matter. Single precision moves centres near 5000 A by up to 0.015 km/s,
    and edges halfway between them by as much.
    """
    if found.rounding < _COARSE * np.diff(found.centre).min():
        return None
    largest = found.rounding * (_FLOAT32_ERROR if found.single else _DECIMAL_ERROR)
    pixel = np.arange(found.centre.size, dtype=np.float64)
    for logarithmic in (False, True):
        values = np.log(found.centre) if logarithmic else found.centre
        slope = (values[-1] - values[0]) / (values.size - 1)
        for digits in range(2, 15):
            rounded = float(f"{slope:.{digits - 1}e}")
            offset = float(np.mean(values - rounded * pixel))
            rule = Rule(float(np.exp(offset)) if logarithmic else offset, rounded, logarithmic)
            if np.abs(rule.centre(pixel) - found.centre).max() <= largest:
                return _rounded_start(rule, found.centre, pixel, largest)
    return None


def _rounded_start(rule: Rule, centre: NDArray[np.float64], pixel: NDArray[np.float64], largest: float) -> Rule:
    for decimals in range(10):
        rounder = Rule(round(rule.start, decimals), rule.step, rule.logarithmic)
        if np.abs(rounder.centre(pixel) - centre).max() <= largest:
            return rounder
    return rule


def _rounding(values: NDArray[np.floating]) -> tuple[float, bool]:
    """Return the distance of neighbouring numbers that can be told apart, and whether it is that of float32."""
    largest = np.float32(values.max())
    if np.array_equal(values.astype(np.float32).astype(np.float64), values.astype(np.float64)):
        return float(np.spacing(largest)), True
    for decimals in range(8):
        if np.abs(np.round(values, decimals) - values).max() < 1e-6 * 10.0**-decimals:
            return 10.0**-decimals, False
    return float(np.spacing(np.float64(largest))), False


def _check(centre: NDArray[np.float64], path: Path) -> None:
    if centre.size < FEWEST_PIXELS:
        raise ConfigError(f"{path}: holds {centre.size} pixel centres; an arm needs at least {FEWEST_PIXELS}")
    bad = np.flatnonzero(~np.isfinite(centre) | (centre <= 0))
    if bad.size:
        raise ConfigError(
            f"{path}: pixel {bad[0]} (counted from 0) is {centre[bad[0]]:g}; wavelengths are positive and finite: "
            f"cut such pixels off, or exclude them from the file"
        )
    step = np.diff(centre)
    if (step > 0).all():
        return
    if (step < 0).all():
        raise ConfigError(f"{path}: wavelengths decrease; write them in increasing order")
    at = int(np.flatnonzero(step <= 0)[0])
    kind = "repeats" if step[at] == 0 else "is smaller than"
    raise ConfigError(
        f"{path}: pixel {at + 1} (counted from 0) at {centre[at + 1]:.10g} {kind} pixel {at} at {centre[at]:.10g}; "
        f"wavelengths must increase: cut overlapping arms where they meet"
    )


def _from_numpy(path: Path, column: str | None) -> NDArray[np.floating]:
    values = np.load(path, allow_pickle=False)
    if values.dtype.names is not None:
        name = _chosen(column, values.dtype.names, path)
        values = values[name]
    elif column is not None:
        raise ConfigError(f"{path}: is a plain array without columns; leave `column` out")
    return _vector(values, path)


def _from_fits(path: Path, column: str | None) -> tuple[NDArray[np.floating], str | None]:
    from astropy.io import fits  # only here: it is slow to import, and most pixels come from a rule

    with fits.open(path, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if tables:
            names = tables[0].columns.names
            name = _chosen(column, names, path)
            unit = tables[0].columns[name].unit
            return _vector(tables[0].data[name], path), _unit(unit, path, name)
        if column is not None:
            raise ConfigError(f"{path}: holds no table, so that there is no column {column!r}")
        images = [hdu for hdu in hdus if hdu.data is not None]
        if not images:
            raise ConfigError(f"{path}: holds neither a table nor an array of pixel centres")
        values, header = _vector(images[0].data, path), images[0].header
        if "CRVAL1" in header and not (np.diff(values) > 0).all():
            return _linear_axis(header, values.size, path)
        return values, _unit(header.get("BUNIT"), path, "BUNIT")


def _linear_axis(header: Any, pixels: int, path: Path) -> tuple[NDArray[np.floating], str | None]:
    """Return the wavelengths [pixels] of the axis along which an image has fluxes, and their unit."""
    step = header.get("CDELT1", header.get("CD1_1"))
    kind = str(header.get("CTYPE1", "")).strip().upper()
    if step is None or header.get("DC-FLAG") == 1 or kind not in _LINEAR:
        raise ConfigError(
            f"{path}: is an image whose axis of wavelengths is not linear (CTYPE1, CDELT1, DC-FLAG); give the arm "
            f"start, step, count and `spacing: logarithmic` instead, or a file with the wavelength of each pixel"
        )
    first = float(header["CRVAL1"]) + (1.0 - float(header.get("CRPIX1", 1.0))) * float(step)
    return first + float(step) * np.arange(pixels), _unit(header.get("CUNIT1"), path, "CUNIT1")


def _from_text(path: Path, column: str | None) -> NDArray[np.floating]:
    found = read_list(path, columns=None if column else 1)
    if column is None:
        return found.values[:, 0]
    if not found.headings:
        raise ConfigError(f"{path}: has no line of headings, so that there is no column {column!r}")
    which = found.headings.index(_chosen(column, found.headings, path))
    if which >= found.values.shape[1]:
        raise ConfigError(f"{path}: has more headings than columns; {column!r} is not among its numbers")
    return found.values[:, which]


def _chosen(column: str | None, names: tuple[str, ...] | list[str], path: Path) -> str:
    if column is None:
        return names[0]
    for name in names:
        if name.lower() == column.lower():
            return name
    raise ConfigError(f"{path}: has no column {column!r}; it has {', '.join(names)}")


def _vector(values: NDArray[np.generic], path: Path) -> NDArray[np.floating]:
    if values.dtype.kind not in "fiu":
        raise ConfigError(f"{path}: holds {values.dtype}, not numbers")
    if values.size != max(values.shape, default=0):
        raise ConfigError(f"{path}: expected one row of pixel centres, got an array of shape {values.shape}")
    flat = values.ravel()
    kept = flat.dtype.newbyteorder("=") if flat.dtype.kind == "f" else np.dtype(np.float64)
    return np.asarray(flat, dtype=kept)


def _unit(text: str | None, path: Path, name: str) -> str | None:
    if text is None or not str(text).strip():
        return None
    for unit, spellings in _UNITS.items():
        if str(text).strip().lower() in spellings:
            return unit
    raise ConfigError(f"{path}: the unit of {name} is {text!r}; wavelengths are in angstrom, nm or um")
