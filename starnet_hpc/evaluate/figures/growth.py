"""The figure of sigma against truth and residual, for several grids (paper, Fig. 4)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def sigmas(table: Table) -> Figure:
    """Draw the median sigma of each grid, a row for each label: against the true label, and against the residual."""
    labels, grids, sides = (table.distinct(key) for key in ("label", "grid", "against"))
    down, across = max(len(labels), 1), max(len(sides), 1)
    drawn = style.figure(1.75 * down + 0.7)
    panels = drawn.subplots(down, across, squeeze=False, sharey="row")
    for label, row in zip(labels, panels, strict=False):
        for against, axes in zip(sides, row, strict=False):
            for which, grid in enumerate(grids):
                found = table.where(label=label, grid=grid, against=against)
                axes.errorbar(
                    found.numbers("centre"), found.numbers("sigma"), found.numbers("sigma_error"),
                    color=style.PALETTE[which % 6], marker=style.MARKERS[which % 6], elinewidth=0.8,
                    label=style.text(grid),
                )  # fmt: skip
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.set_xlabel(words.axis(label, "true " if against == sides[0] else "Δ "))
        row[0].set_ylim(bottom=0)  # of both panels, once everything is drawn
        for against, axes in zip(sides, row, strict=False):
            _guide(axes, table.where(label=label), of_truth=against == sides[0])
        row[0].set_ylabel(f"{words.plain(label)}\nσ [{words.unit(label)}]")
    if labels:
        style.legend_above(drawn, panels[0, 0])
        drawn.align_ylabels(list(panels[:, 0]))
    return drawn


def _guide(axes: Axes, rows: Table, *, of_truth: bool) -> None:
    """Draw the ends of the trained range, or where sigma is as large as the residual."""
    if of_truth:
        for key in ("trained_low", "trained_high"):
            (end,) = set(rows.numbers(key)[:1])
            if np.isfinite(end):
                axes.axvline(end, color=style.GREY, linewidth=1.0, linestyle="--")
        return
    (left, right), top = axes.get_xlim(), axes.get_ylim()[1]
    reach = max(abs(left), abs(right))
    axes.plot([-reach, 0, reach], [reach, 0, reach], color=style.GREY, linewidth=1.0, linestyle=":")
    axes.set(xlim=(left, right), ylim=(0, top))
