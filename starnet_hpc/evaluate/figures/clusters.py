"""Figures of clusters: Teff and log g with isochrones (paper, Fig. 6), and [Fe/H] against the published (Fig. 7)."""

import numpy as np
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.science.planes import LINE, STAR
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.statistics import Floats

_MOST_NAMES = 18
"""Names of clusters that one column of a legend holds."""


def kiel(table: Table) -> Figure:
    """Draw the members of each cluster with their errors, in a panel each, and the isochrone."""
    clusters = table.distinct("cluster")
    across = min(3, max(len(clusters), 1))
    down = -(-max(len(clusters), 1) // across)
    drawn = style.figure(3.3 * down + 0.2, style.WIDTH * across / 3 + (0.6 if across < 3 else 0.0))
    panels = drawn.subplots(down, across, squeeze=False).ravel()
    for unused in panels[len(clusters) :]:
        unused.set_axis_off()
    for cluster, axes in zip(clusters, panels, strict=False):
        stars, line = table.where(cluster=cluster, what=STAR), table.where(cluster=cluster, what=LINE)
        x, y, x_err, y_err = (stars.numbers(key) for key in ("teff", "logg", "teff_err", "logg_err"))
        axes.errorbar(
            x, y, y_err, x_err,
            fmt="o", color=style.BLUE, ecolor=style.SKY, elinewidth=0.8, markeredgecolor="white", markeredgewidth=0.4,
        )  # fmt: skip
        for piece in line.distinct("piece"):
            part = line.where(piece=int(piece))
            name = style.text(line.texts("name")[0]) if piece == "0" else None
            axes.plot(part.numbers("teff"), part.numbers("logg"), color=style.ORANGE, label=name, zorder=1)
        (left, right), (bottom, top) = (_around(values, errors) for values, errors in ((x, x_err), (y, y_err)))
        axes.set(xlim=(right, left), ylim=(top, bottom))
        axes.set_title(style.text(f"{cluster} ({words.count(x.size)})"))
        if line.rows:
            axes.legend(fontsize=7.5, loc="upper left", handlelength=1.2, borderaxespad=0.1)
        axes.set_xlabel(words.axis("teff"))
        axes.set_ylabel(words.axis("logg"))
    return drawn


def metallicities(table: Table) -> Figure:
    """Draw the mean [Fe/H] of each cluster against the published one: thick, its error; thin, the star-to-star scatter.

    Clusters without a published value are in the table alone.
    """
    known, mean = table.numbers("known"), table.numbers("feh")
    shown = np.isfinite(mean) & np.isfinite(known)
    columns = max(1, -(-int(shown.sum()) // _MOST_NAMES))
    drawn = style.figure(4.6, 6.6 + 2.0 * (columns - 1))
    axes = drawn.subplots()
    values = np.concatenate([known[shown], mean[shown]])
    low, high = (values.min() - 0.25, values.max() + 0.25) if values.size else (-2.5, 0.5)
    axes.plot([low, high], [low, high], color=style.INK, linewidth=0.8, linestyle="--", zorder=1)
    error, known_error = table.numbers("feh_error"), table.numbers("known_error")
    spread = table.numbers("std")
    for k, name in enumerate(table.texts("cluster")):
        if not shown[k]:
            continue
        colour, marker = style.PALETTE[k % 6], style.MARKERS[(k // 6 + k) % 6]
        if np.isfinite(spread[k]):
            axes.errorbar(known[k], mean[k], spread[k], fmt="none", ecolor=colour, elinewidth=0.8, capsize=3)
        title = style.text(f"{name} ({words.count(int(table.rows[k]['n']))})")
        width = known_error[k] if np.isfinite(known_error[k]) else None
        axes.errorbar(
            known[k], mean[k], error[k], width,
            fmt=marker, color=colour, elinewidth=2.2, label=title,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_box_aspect(1)
    axes.set_xlabel(words.axis("feh", "published "))
    axes.set_ylabel(words.axis("feh", "predicted "))
    if shown.any():
        axes.legend(title="cluster (stars)", loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=columns)
    return drawn


def _around(values: Floats, errors: Floats) -> tuple[float, float]:
    low, high = float((values - errors).min()), float((values + errors).max())
    margin = 0.15 * (high - low)
    return low - margin, high + margin
