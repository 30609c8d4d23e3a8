"""The figure of differences between grids (paper, Fig. 1)."""

import numpy as np
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def differences(table: Table) -> Figure:
    """Draw the median difference of each grid from the reference along the labels, with the middle 68 % as a band."""
    labels, grids = table.distinct("label"), table.distinct("grid")
    drawn, panels = style.label_panels(labels, 3.1)
    for label, axes in panels.items():
        for which, grid in enumerate(grids):
            colour, marker = style.PALETTE[which % 6], style.MARKERS[which % 6]
            rows = table.where(label=label, grid=grid).only(lambda row: "median" in row)
            at, floor = rows.numbers("centre"), rows.numbers("floor")
            axes.fill_between(at, rows.numbers("low"), rows.numbers("high"), color=colour, alpha=0.15, linewidth=0)
            axes.errorbar(
                at,
                rows.numbers("median"),
                rows.numbers("median_error"),
                color=colour,
                marker=marker,
                elinewidth=1.0,
                label=style.text(grid),
            )
            if np.isfinite(floor).any():
                name = "interpolation alone" if which == _first_with_floor(table, grids) else None
                axes.plot(at, floor, color=style.GREY, linestyle="--", linewidth=1.0, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(words.axis(label))
        axes.set_ylabel("difference [%]")
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def _first_with_floor(table: Table, grids: list[str]) -> int:
    has = [bool(np.isfinite(table.where(grid=grid).numbers("floor")).any()) for grid in grids]
    return has.index(True) if any(has) else -1
