"""Windows of wavelengths to leave alone: lists that come with the package, or the user's own."""

from pathlib import Path

import numpy as np

from starnet_hpc.config.spectra import is_list_name
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments.listfile import read_list

_FOLDER = Path(__file__).parent / "data" / "windows"
_NANOMETRE_LIMIT = 3000.0
"""No list for spectra from the ground begins below this [angstrom]; one in nanometres does."""

Intervals = tuple[tuple[float, float], ...]


def windows_in_range(kind: str, choice: str | Intervals, low: float, high: float) -> Intervals:
    """Return the windows [angstrom, air] that a description asks for.

    Args:
        kind: `strong_lines` or `tellurics`, the key of the description.
        choice: windows one by one; the name of a list of the package's; or the path of a list.
        low: first wavelength of the instrument [angstrom, air].
        high: last wavelength of the instrument [angstrom, air].

    Returns:
        Windows given one by one as they are; of a list, those that touch the instrument's range, in increasing order.

    Raises:
        ConfigError: no such list, or a file that is none.
    """
    if not isinstance(choice, str):
        return choice
    windows = read_windows(_shipped(kind, choice) if is_list_name(choice) else Path(choice))
    return tuple((start, end) for start, end in windows if start < high and end > low)


def read_windows(path: Path) -> Intervals:
    """Return the windows of a list, in increasing order.

    Each line holds lower and upper edge [angstrom, air], and anything behind them; a first line without numbers is a
    heading, and `#` begins a remark.

    Raises:
        ConfigError: the file cannot be read, or a line is no window.
    """
    found = read_list(path, columns=2)
    for (low, high), line in zip(found.values.tolist(), found.lines, strict=True):
        if not 0 < low < high:
            raise ConfigError(
                f"{path}, line {line}: a window is its lower and its upper edge, 0 < lower < upper, "
                f"got {low:g} {high:g}"
            )
    if found.values.max() < _NANOMETRE_LIMIT:
        raise ConfigError(
            f"{path}: windows up to {found.values.max():g} A lie in the far ultraviolet; edges are in angstrom: "
            f"multiply by 10 what is in nanometres"
        )
    ordered = found.values[np.lexsort((found.values[:, 1], found.values[:, 0]))]
    return tuple((float(low), float(high)) for low, high in ordered)


def shipped_lists(kind: str) -> list[str]:
    """Return the names of the package's lists for `strong_lines` or `tellurics`."""
    return sorted(path.stem.removeprefix(f"{kind}_") for path in _FOLDER.glob(f"{kind}_*.txt"))


def _shipped(kind: str, name: str) -> Path:
    path = _FOLDER / f"{kind}_{name}.txt"
    if not path.exists():
        raise ConfigError(
            f"{kind}: there is no list {name!r}; give {' or '.join(shipped_lists(kind))}, the path of a list "
            f"(./{name} for one in this folder), or windows as [[low, high], ...]"
        )
    return path
