"""The figure of benchmark stars (paper, Fig. 5)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def differences(table: Table) -> Figure:
    """Draw predicted minus published, star by star; open symbols are stars that do not enter the statistics."""
    stars = sorted(table.distinct("id"), key=lambda star: _order(table, star))
    labels = table.distinct("label")
    kinds = list(dict.fromkeys(_kind(table, star) for star in stars))
    drawn, panels = star_panels(stars, labels)
    for label, axes in zip(labels, panels, strict=False):
        for at, star in enumerate(stars):
            row = table.first(id=star, label=label)
            if row is None or not np.isfinite(float(row["difference"])):
                continue
            which = kinds.index(str(row["kind"]))
            colour, inside = style.PALETTE[which % 6], row["remark"] == ""
            axes.errorbar(
                at,
                float(row["difference"]),
                float(row["combined_sigma"]),
                fmt=style.MARKERS[which % 6],
                color=colour,
                markerfacecolor=colour if inside else "white",
                markersize=6 if len(stars) <= style.MOST_SLANTED else 3.5,
                elinewidth=1.2,
                alpha=1 if inside else 0.6,
            )
    for which, kind in enumerate(kinds):
        panels[0].plot([], [], style.MARKERS[which % 6], color=style.PALETTE[which % 6], label=kind or "kind unknown")
    panels[0].plot([], [], "o", color=style.GREY, markerfacecolor="white", label="outside trained range")
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=min(len(handles), 2 if len(stars) < 8 else 4))
    return drawn


def star_panels(stars: Sequence[str], labels: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with a panel for each label, one above the other, for differences of stars at 0, 1, 2, ..."""
    drawn = style.figure(1.45 * max(len(labels), 1) + 1.3, max(5.0, min(style.WIDTH, 2.5 + 0.55 * len(stars))))
    panels = drawn.subplots(max(len(labels), 1), 1, sharex=True, squeeze=False)[:, 0]
    for label, axes in zip(labels, panels, strict=False):
        axes.axhline(0, color=style.INK, linewidth=0.8)
        axes.set_ylabel(f"Δ {words.axis(label)}")
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.15)
    style.star_names(panels[-1], stars)
    return drawn, list(panels)


def _kind(table: Table, star: str) -> str:
    return str((table.first(id=star) or {}).get("kind", ""))


def _order(table: Table, star: str) -> tuple[str, float]:
    """Return where a star stands: by kind, then by published temperature."""
    row = table.first(id=star, label="teff") or {}
    return _kind(table, star), float(row.get("reference", 0.0))
