"""One look for all figures: calm, legible in print and to colour-blind eyes; no global state of matplotlib."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, GREY, LIGHT = "#222222", "#808080", "#d9d9d9"
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#882255"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
"""Colours that differ for colour-blind eyes, too (Okabe & Ito 2008; Tol 2021)."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Go with the colours, for print without colour."""
WIDTH = 10.0
"""Width of a full figure [inch]."""
DPI = 150
MOST_SLANTED = 30
"""Names of more stars than this would hide one another if they were not upright."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # letters stay letters in the PDF
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the package's style, whatever matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size [inch]."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def label_panels(labels: Sequence[str], height: float = 2.9, *, square: bool = False) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel a label, three (or fewer) in a row of this height [inch]."""
    across = min(3, max(len(labels), 1))
    down = -(-max(len(labels), 1) // across)
    drawn = figure(height * down + 0.4, WIDTH * across / 3 + (0.0 if across == 3 else 0.6))
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    for unused in axes[len(labels) :]:
        unused.set_axis_off()
    for used in axes[: len(labels)]:
        if square:
            used.set_box_aspect(1)
    return drawn, dict(zip(labels, axes, strict=False))


def sequence(count: int) -> list[str]:
    """Return colours for an ordered series such as S/N bins, from light (worst) to dark (best)."""
    cmap = mpl.colormaps["viridis_r"]
    return [mpl.colors.to_hex(cmap(x)) for x in np.linspace(0.22, 0.95, max(count, 1))]


def text(name: str) -> str:
    """Return a name that somebody gave, to be drawn as it stands.

    To matplotlib, dollars begin mathematics, and a legend leaves out names that begin with an underscore.
    """
    escaped = name.replace("$", r"\$")
    return f"\u200a{escaped}" if escaped.startswith("_") else escaped


def star_names(axes: Axes, stars: Sequence[str]) -> None:
    """Write names of stars below their places 0, 1, 2, ..., so that they do not hide one another."""
    names = [text(star) for star in stars]
    if len(stars) <= MOST_SLANTED:
        axes.set_xticks(range(len(stars)), names, rotation=45, ha="right", rotation_mode="anchor")
    else:  # upright, and as small as it takes (in the PDF they can be enlarged)
        points = 72 * (WIDTH - 1) / len(stars)
        axes.set_xticks(range(len(stars)), names, rotation=90, fontsize=min(9.0, 0.85 * points))
    axes.set_xlim(-0.6, len(stars) - 0.4)


def legend_above(drawn: Figure, axes: Axes, title: str = "") -> None:
    """Put the legend of some axes in one line above the whole figure."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        drawn.legend(handles, names, title=title or None, loc="outside upper center", ncols=max(len(handles), 1))


def rendered(drawn: Figure, mark: str) -> dict[str, bytes]:
    """Return a figure as `pdf` and `png`, the same bytes for the same figure; a mark stands in the PNG's head."""
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")  # what was laid out serves both forms
    undated: dict[str, dict[str, str | None]] = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None, "Comment": mark},
    }
    forms = {}
    for form, metadata in undated.items():
        file = BytesIO()
        drawn.savefig(file, format=form, dpi=DPI, facecolor="white", metadata=metadata)
        forms[form] = file.getvalue()
    return forms


def finite_limits(values: Iterable[float]) -> tuple[float, float] | None:
    """Return the smallest and largest finite value, or None."""
    finite = [value for value in values if np.isfinite(value)]
    return (min(finite), max(finite)) if finite else None
