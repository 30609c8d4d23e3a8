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

_ELEMENTS = {
    6: "C", 7: "N", 8: "O", 11: "Na", 12: "Mg", 13: "Al", 14: "Si", 16: "S", 19: "K", 20: "Ca", 21: "Sc", 22: "Ti",
    23: "V", 24: "Cr", 25: "Mn", 27: "Co", 28: "Ni", 29: "Cu", 30: "Zn", 38: "Sr", 39: "Y", 40: "Zr", 56: "Ba",
    57: "La", 58: "Ce", 60: "Nd", 63: "Eu",
}  # fmt: skip

ELEMENT_LABELS: dict[int, str] = {number: f"{symbol.lower()}_fe" for number, symbol in _ELEMENTS.items()}
"""Names of the labels [X/Fe] by atomic number, for grids that vary elements one by one."""

_ABUNDANCES = {
    f"{symbol.lower()}_fe": Label(f"{symbol.lower()}_fe", "dex", f"[{symbol}/Fe]", f"{symbol} abundance over iron", 2)
    for symbol in _ELEMENTS.values()
}


class _Labels(dict[str, Label]):
    """The six labels of every survey; those of single elements are there for whoever asks by name."""

    def __missing__(self, name: str) -> Label:
        return _ABUNDANCES[name]


LABELS: dict[str, Label] = _Labels((label.name, label) for label in _LABELS)

GRID_LABELS: tuple[str, ...] = ("teff", "logg", "feh", "afe")
"""Labels that a synthetic grid may have (or those of elements for `afe`); the others come from the augmentation."""

DRAWN_LABELS: tuple[str, ...] = ("vsini", "vrad")
"""Labels that the augmentation draws."""


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return the known label names among `names`, in the package's order."""
    wanted = set(names)
    return tuple(name for name in (*GRID_LABELS, *_ABUNDANCES, *DRAWN_LABELS) if name in wanted)


def training_labels(grid_labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels a network predicts for a grid that has `grid_labels` (FERRE has no free [alpha/Fe])."""
    return ordered([*grid_labels, *DRAWN_LABELS])
