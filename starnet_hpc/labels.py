"""The stellar labels: names, units, symbols, in the one order that every store and table uses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """One quantity that a network predicts."""

    name: str
    unit: str
    """Unit string that astropy understands; "" is dimensionless (dex)."""
    symbol: str
    """For figures, in matplotlib's math text."""
    description: str
    decimals: int
    """Digits worth printing after the point."""


_LABELS = (
    Label("teff", "K", r"$T_\mathrm{eff}$", "effective temperature", 0),
    Label("logg", "dex", r"$\log g$", "logarithm of the surface gravity in cgs units", 2),
    Label("feh", "dex", "[Fe/H]", "iron abundance relative to the Sun", 2),
    Label("afe", "dex", r"[$\alpha$/Fe]", "alpha-element abundance relative to iron", 2),
    Label("vsini", "km s-1", r"$v\,\sin i$", "projected rotational velocity", 1),
    Label("vrad", "km s-1", r"$v_\mathrm{rad}$", "radial velocity, positive when receding", 2),
)

LABELS: dict[str, Label] = {label.name: label for label in _LABELS}

GRID_LABELS: tuple[str, ...] = ("teff", "logg", "feh", "afe")
"""Labels that a synthetic grid may have; the others come from the augmentation."""

DRAWN_LABELS: tuple[str, ...] = ("vsini", "vrad")
"""Labels that the augmentation draws."""


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return the known label names among `names`, in the package's order."""
    wanted = set(names)
    return tuple(name for name in LABELS if name in wanted)


def training_labels(grid_labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels a network predicts for a grid that has `grid_labels` (FERRE has no free [alpha/Fe])."""
    return ordered([*grid_labels, *DRAWN_LABELS])
