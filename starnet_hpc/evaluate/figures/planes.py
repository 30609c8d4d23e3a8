"""Figures of stars in a plane of two labels: Kiel diagram (paper, Fig. 8), [alpha/Fe] against [Fe/H] (Fig. 9)."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.science.planes import CELL, LINE, PREDICTED, REFERENCE, STAR, TYPICAL
from starnet_hpc.evaluate.tables import Table

_REVERSED = ("teff", "logg")
"""Labels whose axes run backwards, as they have since Hertzsprung and Russell."""
_MOST_BARS = 60
"""Up to so many stars have error bars of their own; of more, one shows the median."""
_MOST_NAMES = 4
"""More isochrones than this are told apart by their colour alone."""


def plane(table: Table) -> Figure:
    """Draw stars, or cells coloured by the median in them, with a typical error and the lines of theory."""
    samples = [kind for kind in (PREDICTED, REFERENCE) if kind in table.distinct("sample")] or [PREDICTED]
    drawn = style.figure(5.0, style.WIDTH if len(samples) > 1 else 6.6)
    panels = drawn.subplots(1, len(samples), squeeze=False, sharex=True, sharey=True)[0]
    first = table.rows[0] if table.rows else {}
    x, y, colour = (str(first.get(f"{key}_label", "")) for key in ("x", "y", "colour"))
    shades = _shades(table, colour)
    for kind, axes in zip(samples, panels, strict=True):
        rows = table.where(sample=kind)
        _lines(axes, table.where(what=LINE), shades)
        _cells(axes, rows.where(what=CELL), shades, coloured=bool(colour))
        _stars(axes, rows.where(what=STAR), shades)
        axes.set_xlabel(words.axis(x) if x else "")
        if len(samples) > 1:
            axes.set_title(kind)
    panels[0].set_ylabel(words.axis(y) if y else "")
    _limits(panels[0], table, (x, y))
    for kind, axes in zip(samples, panels, strict=True):
        own = table.where(sample=kind, what=STAR)
        _typical(axes, table.where(sample=kind, what=TYPICAL), own, at=0.9 if (x, y) == _REVERSED else 0.1)
    if 0 < len(table.where(what=LINE).distinct("name")) <= _MOST_NAMES:
        handles, names = panels[0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside upper center", ncols=2)
    if colour or table.where(what=CELL).rows:
        label = (
            words.axis(colour, "" if not table.where(what=CELL).rows else "median ") if colour else "stars in a cell"
        )
        drawn.colorbar(shades, ax=list(panels), label=label, shrink=0.8, aspect=30, pad=0.02)
    return drawn


def _shades(table: Table, colour: str) -> ScalarMappable:
    """Return how a value (or, without one, the number in a cell) becomes a colour."""
    if not colour:
        most = max([2.0, *table.where(what=CELL).numbers("n")])
        return ScalarMappable(LogNorm(1, most), ListedColormap(style.sequence(256)))
    values = table.only(lambda row: row["what"] in (STAR, CELL)).numbers("colour")
    low, high = np.nanpercentile(values, [1, 99]) if np.isfinite(values).any() else (0.0, 1.0)
    # Plasma runs from dark to light for everybody; its lightest part is left out, since paper is white.
    colours = mpl.colormaps["plasma"](np.linspace(0.0, 0.88, 256))
    return ScalarMappable(Normalize(low, max(high, low + 1e-3), clip=True), ListedColormap(colours))


def _stars(axes: Axes, rows: Table, shades: ScalarMappable) -> None:
    if not rows.rows:
        return
    x, y, values = rows.numbers("x"), rows.numbers("y"), rows.numbers("colour")
    colours = shades.to_rgba(values) if np.isfinite(values).any() else style.BLUE
    if len(rows.rows) <= _MOST_BARS:
        axes.errorbar(x, y, rows.numbers("y_err"), rows.numbers("x_err"), fmt="none", ecolor=style.GREY, elinewidth=0.8)
    few = len(rows.rows) <= _MOST_BARS
    size, edge = (34, style.INK) if few else (12, "none")
    axes.scatter(x, y, size, colours, edgecolors=edge, linewidths=0.6, alpha=1.0 if few else 0.7, zorder=3)


def _cells(axes: Axes, rows: Table, shades: ScalarMappable, *, coloured: bool) -> None:
    """Draw cells; those with few stars are the paler, the fewer they have."""
    if not rows.rows:
        return
    x_low, y_low, n = (rows.numbers(key) for key in ("x_low", "y_low", "n"))
    wide, high = rows.numbers("x_high")[0] - x_low[0], rows.numbers("y_high")[0] - y_low[0]
    i, j = (np.rint((low - low.min()) / step).astype(int) for low, step in ((x_low, wide), (y_low, high)))
    image = np.ones((j.max() + 1, i.max() + 1, 4))
    image[..., 3] = 0.0
    colours = np.asarray(shades.to_rgba(rows.numbers("colour") if coloured else n))
    if coloured:
        colours[:, 3] = 0.35 + 0.65 * np.log1p(n) / np.log1p(max(float(np.percentile(n, 95)), 2.0))
    image[j, i] = np.clip(colours, 0.0, 1.0)
    extent = (x_low.min(), x_low.min() + wide * image.shape[1], y_low.min(), y_low.min() + high * image.shape[0])
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="none", zorder=2)


def _lines(axes: Axes, rows: Table, shades: ScalarMappable) -> None:
    for name in rows.distinct("name"):
        one = rows.where(name=name)
        value = float(one.numbers("colour")[0])
        colour: Any = shades.to_rgba(np.array([value]))[0] if np.isfinite(value) else style.GREY
        for piece in one.distinct("piece"):
            part = one.where(piece=int(piece))
            axes.plot(part.numbers("x"), part.numbers("y"), color="white", linewidth=2.6, zorder=3.4, alpha=0.8)
            label = style.text(name) if piece == "0" else None
            axes.plot(part.numbers("x"), part.numbers("y"), color=colour, linewidth=1.3, zorder=3.5, label=label)


def _limits(axes: Axes, table: Table, labels: tuple[str, str]) -> None:
    """Show where stars are; what isochrones do elsewhere is not asked."""
    seen = table.only(lambda row: row["what"] in (STAR, CELL))
    for key, label in zip(("x", "y"), labels, strict=True):
        values = seen.numbers(key)
        if not np.isfinite(values).any():
            continue
        low, high = np.nanpercentile(np.repeat(values, seen.numbers("n").astype(int)), [0.1, 99.9])  # of stars
        if len(seen.rows) <= 2 * _MOST_BARS:  # of two panels
            errors = np.nan_to_num(seen.numbers(f"{key}_err"))
            low, high = np.nanmin(values - errors), np.nanmax(values + errors)
        margin = 0.07 * (high - low) or 0.5
        low, high = low - margin, high + margin
        limits = (high, low) if label in _REVERSED and labels == _REVERSED else (low, high)
        if key == "x":
            axes.set_xlim(limits)
        else:
            axes.set_ylim(limits)


def _typical(axes: Axes, rows: Table, stars: Table, at: float) -> None:
    """Draw the median error in a corner to the left, at a share of the height, unless every star has its own."""
    if not rows.rows or 0 < len(stars.rows) <= _MOST_BARS:
        return
    row = rows.rows[0]
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    x, y = left + 0.09 * (right - left), bottom + at * (top - bottom)
    axes.errorbar(
        x, y, float(row["y_err"]), float(row["x_err"]), fmt="none", ecolor=style.INK, elinewidth=1.2, zorder=5
    )
    axes.annotate("median error", (x, y), (9, 5), textcoords="offset points", fontsize=8, zorder=5)
