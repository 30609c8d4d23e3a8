"""Figures of calibration (coverage at every level, PIT), and of residuals against nuisances."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.calibration import PIT_PARTS
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.nuisances import AXES
from starnet_hpc.evaluate.sample import ALL
from starnet_hpc.evaluate.tables import Table


def curve(table: Table) -> Figure:
    """Draw what intervals hold minus what they should, against what they should, a line for each S/N bin."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.6)
    for label, axes in panels.items():
        for snr, title, colour, marker in series_by_snr(table):
            rows = table.where(label=label, snr=snr)
            axes.errorbar(
                rows.numbers("nominal"), rows.numbers("excess"), rows.numbers("coverage_error"),
                color=colour, marker=marker, markersize=3.5, elinewidth=0.8, label=title,
            )  # fmt: skip
        dress_curve(axes, label)
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def pit(table: Table) -> Figure:
    """Draw where truths lie in their predicted distributions, a line for each S/N bin."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.4)
    for label, axes in panels.items():
        for snr, title, colour, _ in series_by_snr(table):
            rows = table.where(label=label, snr=snr)
            if not rows.rows:
                continue
            edges = np.append(rows.numbers("low"), rows.numbers("high")[-1])
            axes.stairs(
                rows.numbers("percent"), edges, color=colour, linewidth=2.0 if snr == ALL else 1.2,
                label=title, baseline=None,
            )  # fmt: skip
            if snr == ALL:
                middle = 0.5 * (edges[1:] + edges[:-1])
                axes.errorbar(middle, rows.numbers("percent"), rows.numbers("percent_error"), fmt="none", ecolor=colour)
        dress_pit(axes, label, PIT_PARTS)
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def nuisances(table: Table) -> Figure:
    """Draw median residuals (and their size) against nuisances: a row for each label, a column for each nuisance."""
    labels, across = table.distinct("label"), table.distinct("nuisance")
    down = max(len(labels), 1)
    drawn = style.figure(1.55 * down + 0.9)
    grid = drawn.subplots(down, max(len(across), 1), squeeze=False, sharey="row", sharex="col")
    for label, panels in zip(labels, grid, strict=False):
        for nuisance, axes in zip(across, panels, strict=False):
            rows = table.where(label=label, nuisance=nuisance)
            at = rows.numbers("centre")
            axes.axhline(0, color=style.INK, linewidth=0.8, linestyle="--")
            axes.errorbar(
                at, rows.numbers("median"), rows.numbers("median_error"),
                color=style.BLUE, marker="o", elinewidth=1.0, label="median Δ",
            )  # fmt: skip
            axes.errorbar(
                at, rows.numbers("median_absolute"), rows.numbers("median_absolute_error"),
                color=style.ORANGE, marker="s", elinewidth=1.0, label="median |Δ|",
            )  # fmt: skip
            axes.yaxis.set_major_locator(MaxNLocator(4))
        panels[0].set_ylabel(f"{words.plain(label)}\nΔ [{words.unit(label)}]")
    for nuisance, axes in zip(across, grid[-1], strict=False):
        title, unit = AXES[nuisance]
        axes.set_xlabel(f"{title} [{unit}]" if unit else title)
        if nuisance == "snr":
            axes.set_xscale("log")
    if labels and across:
        style.legend_above(drawn, grid[0, 0])
    drawn.align_ylabels(list(grid[:, 0]))
    return drawn


def dress_curve(axes: Axes, label: str) -> None:
    """Give a panel of coverage minus what it should be its title, axes, and the line of what is right."""
    axes.axhline(0, color=style.INK, linewidth=0.8, linestyle="--")
    axes.set_title(words.plain(label))
    axes.set(xlim=(5, 104), xlabel="interval [%]", ylabel="holds − should [%]")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -5), max(high, 5))


def dress_pit(axes: Axes, label: str, parts: int) -> None:
    """Give a panel of places in predicted distributions its title, axes, and the line of what is right."""
    axes.axhline(100 / parts, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.set_title(words.plain(label))
    axes.set(xlim=(0, 1), xlabel="place in the predicted distribution", ylabel="share [%]")
    axes.set_ylim(bottom=0)


def series_by_snr(table: Table) -> list[tuple[str, str, str, str]]:
    """Return name, title, colour and marker of each S/N bin, all rows last."""
    bins = [snr for snr in table.distinct("snr") if snr not in {ALL, "unknown"}]
    titles = [*(f"S/N {snr}" for snr in bins), ALL]
    colours = [*style.sequence(len(bins)), style.INK]
    return list(zip([*bins, ALL], titles, colours, style.MARKERS * (len(bins) + 1), strict=False))
