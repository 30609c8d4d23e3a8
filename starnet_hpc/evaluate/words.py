"""Labels and numbers as people read them: in tables, sentences and on a terminal."""

import math
from collections.abc import Sequence

from starnet_hpc.labels import ELEMENT_LABELS, LABELS

MISSING = "–"
"""What a table shows where there is no number."""

_PLAIN = {"teff": "Teff", "logg": "log g", "feh": "[Fe/H]", "afe": "[α/Fe]", "vsini": "v sin i", "vrad": "v rad"}
_UNITS = {"km s-1": "km/s", "": "dex"}


def plain(label: str) -> str:
    """Return a label's name for running text and tables; any other text as it is."""
    if label in ELEMENT_LABELS.values():
        return LABELS[label].symbol
    return _PLAIN.get(label, label)


def unit(label: str) -> str:
    """Return a label's unit for people (`K`, `dex`, `km/s`)."""
    text = LABELS[label].unit
    return _UNITS.get(text, text)


def axis(label: str, prefix: str = "") -> str:
    """Return the title of an axis that shows a label, with its unit, in matplotlib's math text."""
    return f"{prefix}{LABELS[label].symbol} [{unit(label)}]"


def count(number: int) -> str:
    """Return a whole number with thousands set apart."""
    return f"{number:,}"


def resolution(lowest: float, highest: float) -> str:
    """Return what lambda / FWHM is, or the range it is in."""
    low, high = count(round(lowest)), count(round(highest))
    return f"R = {low}" if low == high else f"R = {low} to {high}"


def number(value: float, digits: int = 3) -> str:
    """Return a number with that many significant digits (whole numbers are never cut), without an exponent."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return signed(f"{value:.{min(decimals, 6)}f}")


def with_error(value: float, error: float) -> str:
    """Return `value ± error`, both to the digits that the error supports; the value alone if no error is known.

    As the Particle Data Group rounds: errors that begin with 100 to 354 keep two digits, larger ones keep one.
    """
    if not math.isfinite(value):
        return MISSING
    if not math.isfinite(error) or error <= 0:
        return number(value)
    magnitude = math.floor(math.log10(error))
    leading = error / 10.0**magnitude
    decimals = min(max(0, (1 if leading < 3.55 else 0) - magnitude), 6)
    return f"{signed(f'{value:.{decimals}f}')} ± {error:.{decimals}f}"


def value(label: str, number: float) -> str:
    """Return a value of a label to the digits worth printing, without its unit."""
    return signed(f"{number:.{LABELS[label].decimals}f}") if math.isfinite(number) else MISSING


def quantity(label: str, value: float) -> str:
    """Return a value of a label with its unit, to three significant digits."""
    return f"{number(value)} {unit(label)}"


def interval(label: str, low: float, high: float) -> str:
    """Return a range of a label with its unit, to the digits worth printing."""
    return f"{plain(label)} {value(label, low)} to {value(label, high)} {unit(label)}"


def listed(items: Sequence[str], joint: str = "and") -> str:
    """Return items as a phrase: `a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {joint} {items[-1]}"


def are(names: Sequence[str]) -> str:
    """Return the verb that goes with a list of names."""
    return "is" if len(names) == 1 else "are"


def sentence(text: str) -> str:
    """Return text with its first letter made a capital."""
    return text[:1].upper() + text[1:]


def signed(text: str) -> str:
    """Return a formatted number with a proper minus sign, and no sign before a zero (`-0.00`)."""
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")
