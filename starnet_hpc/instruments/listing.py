"""Instruments as people look them up: one line each, or one in full."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.instruments.instrument import (
    Instrument,
    build_instrument,
    load_instrument,
    read_description,
    shipped_instruments,
    shipped_yaml,
)
from starnet_hpc.instruments.pixels import C_KMS

_HEAD = ("name", "range [A]", "arms", "pixels", "R", "pixels a FWHM", "windows: lines", "air", "what")


def overview() -> list[str]:
    """Return a table of the instruments that come with the package, and how to go on."""
    rows = [_HEAD, *(_row(load_instrument(name)) for name in shipped_instruments())]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
    return [
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
        "",
        "`starnet-hpc instruments NAME > mine.yaml` gives one to edit; `starnet-hpc instruments mine.yaml` checks it.",
    ]


def details(choice: str) -> list[str]:
    """Return the YAML file of a shipped instrument, or what the package makes of a file of the user's.

    Raises:
        ConfigError: there is no such instrument, or the file makes no sense.
    """
    if not choice.endswith((".yaml", ".yml")):
        return shipped_yaml(choice).read_text(encoding="utf-8").splitlines()
    instrument = build_instrument(read_description(Path(choice)))
    lines = [
        f"{instrument.name}: {instrument.config.description}".rstrip(": "),
        f"R = {_resolution(instrument)}",
    ]
    breaks = np.flatnonzero(instrument.lower[1:] != instrument.upper[:-1]) + 1
    starts = [0, *breaks.tolist()]
    for first, end in zip(starts, [*breaks.tolist(), instrument.wavelength.size], strict=True):
        centre = instrument.wavelength[first:end]
        width = (instrument.upper - instrument.lower)[first:end]
        kms = C_KMS * width / centre
        lines.append(
            f"{end - first} pixels, {centre[0]:.4f} to {centre[-1]:.4f} A in air, {_span(width, 'A')} or "
            f"{_span(kms, 'km/s')} wide, {_span(_samples(instrument)[first:end], 'pixels a FWHM')}"
        )
    lines.append(_listed("without continuum (strong lines)", instrument.strong_windows, instrument.strong_lines()))
    lines.append(_listed("zero for the network (tellurics)", instrument.telluric_windows, instrument.tellurics()))
    return [*lines, *instrument.remarks]


def _row(instrument: Instrument) -> tuple[str, ...]:
    return (
        instrument.name,
        f"{instrument.wavelength[0]:.0f}-{instrument.wavelength[-1]:.0f}",
        str(len(instrument.config.arms)),
        f"{instrument.wavelength.size:,}",
        _resolution(instrument),
        _span(_samples(instrument)),
        f"{len(instrument.strong_windows)} ({100 * instrument.strong_lines().mean():.0f} %)",
        f"{len(instrument.telluric_windows)} ({100 * instrument.tellurics().mean():.0f} %)",
        instrument.config.description,
    )


def _samples(instrument: Instrument) -> NDArray[np.float64]:
    """Return how many pixels wide a resolution element is [pixels]."""
    return instrument.wavelength / instrument.resolution / (instrument.upper - instrument.lower)


def _resolution(instrument: Instrument) -> str:
    low, high = (f"{value:.0f}" for value in instrument.resolution_range)
    return low if low == high else f"{low}-{high}"


def _span(values: NDArray[np.float64], unit: str = "") -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return f"{low if low == high else f'{low}-{high}'} {unit}".rstrip()


def _listed(what: str, windows: Iterable[tuple[float, float]], inside: NDArray[np.bool_]) -> str:
    named = ", ".join(f"{low:g}-{high:g}" for low, high in windows)
    return f"{what}: {named or 'nothing'}" + (f" A, {inside.sum()} pixels" if named else "")
