"""Figures of accuracy: residuals along a label (paper, Fig. 3), predicted against true, coverage, pulls."""

from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.coverage import HONEST_68, PULL_LIMIT
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.residuals import FEWEST
from starnet_hpc.evaluate.sample import ALL
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.statistics import ONE_SIGMA, TWO_SIGMA, Floats


def residuals_along_label(table: Table, true: str = "true") -> Figure:
    """Draw the median absolute residual against the true label, a line for each S/N bin."""
    labels, bins = table.distinct("label"), _bins(table)
    drawn, panels = style.label_panels(labels)
    for label, axes in panels.items():
        for snr, colour, marker in zip(bins, style.sequence(len(bins)), style.MARKERS * len(bins), strict=False):
            rows = table.where(label=label, snr=snr).only(lambda row: int(row["n"]) >= FEWEST)
            centre = 0.5 * (rows.numbers("low") + rows.numbers("high"))
            value, error = rows.numbers("median_absolute"), rows.numbers("median_absolute_error")
            axes.errorbar(centre, value, error, color=colour, marker=marker, elinewidth=0.8, label=f"S/N {snr}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(words.axis(label, f"{true} "))
        axes.set_ylabel(f"median |Δ| [{words.unit(label)}]")
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def predicted_against_true(table: Table, true: str = "true", spectra: str = "spectra") -> Figure:
    """Draw the number of spectra in cells of true and predicted label, with the line of equality."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 3.1, square=True)
    largest = max(2.0, float(max(table.numbers("n"), default=2)))
    mesh = None
    cmap = ListedColormap(style.sequence(256))
    for label, axes in panels.items():
        rows = table.where(label=label)
        x, y = (0.5 * (rows.numbers(f"{key}_low") + rows.numbers(f"{key}_high")) for key in ("true", "predicted"))
        width = rows.numbers("true_high") - rows.numbers("true_low")
        x_edges, y_edges, counts = _grid(x, y, rows.numbers("n"), float(width[0]))
        mesh = axes.pcolormesh(x_edges, y_edges, counts.T, cmap=cmap, norm=LogNorm(1, largest), rasterized=True)
        low, high = min(x_edges[0], y_edges[0]), max(x_edges[-1], y_edges[-1])
        axes.plot([low, high], [low, high], color=style.INK, linewidth=0.8, linestyle="--")
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.set_xlabel(words.axis(label, f"{true} "))
        axes.set_ylabel(words.axis(label, "predicted "))
    if mesh is not None:
        drawn.colorbar(mesh, ax=list(panels.values()), label=f"{spectra} in a cell", shrink=0.6, aspect=35, pad=0.02)
    return drawn


def coverage(table: Table) -> Figure:
    """Draw the share of residuals within one and two sigma, a point for each S/N bin and label."""
    labels = table.distinct("label")
    bins = [*_bins(table), ALL]
    drawn = style.figure(4.0)
    axes = drawn.subplots()
    colours = [*style.sequence(len(bins) - 1), style.INK]
    for k, (snr, colour, marker) in enumerate(zip(bins, colours, style.MARKERS * len(bins), strict=False)):
        at = np.arange(len(labels)) + (k - 0.5 * (len(bins) - 1)) * 0.12
        for share in ("coverage_68", "coverage_95"):
            rows = [table.first(label=label, snr=snr) or {} for label in labels]
            value, error = (
                np.array([float(row.get(key, np.nan)) for row in rows]) for key in (share, f"{share}_error")
            )
            name = (f"S/N {snr}" if snr != ALL else ALL) if share == "coverage_68" else None
            axes.errorbar(at, value, error, fmt=marker, color=colour, elinewidth=1.0, label=name)
    axes.axhspan(*HONEST_68, color=style.LIGHT, alpha=0.45, linewidth=0)
    for expected, name in ((100 * ONE_SIGMA, "1σ: 68.3 %"), (100 * TWO_SIGMA, "2σ: 95.4 %")):
        axes.axhline(expected, color=style.INK, linewidth=0.8, linestyle="--")
        axes.annotate(
            name,
            (1.0, expected),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    axes.set_xticks(range(len(labels)), [words.plain(label) for label in labels])
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylabel="share of spectra within the interval [%]")
    low = min([55.0, *(value for value in table.numbers("coverage_68") - 3 if np.isfinite(value))])
    axes.set_ylim(max(low, 0), 101)
    style.legend_above(drawn, axes)
    return drawn


def pulls(table: Table) -> Figure:
    """Draw the histogram of residual / sigma a label, with the Gaussian that it should be."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.4)
    grid = np.linspace(-PULL_LIMIT, PULL_LIMIT, 201)
    for label, axes in panels.items():
        rows = table.where(label=label)
        low, high, n = (rows.numbers(key) for key in ("low", "high", "n"))
        density = n / max(n.sum(), 1) / (high - low)
        axes.bar(
            low, density, high - low, align="edge", color=style.SKY, alpha=0.7, linewidth=0, label="residual / sigma"
        )
        axes.plot(
            grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color=style.INK, linewidth=1.0, label="unit Gaussian"
        )
        axes.set_title(words.plain(label))
        axes.set_xlabel("pull")
        axes.set_ylabel("density")
        axes.set_xlim(-PULL_LIMIT, PULL_LIMIT)
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def _bins(table: Table) -> list[str]:
    """Return the S/N bins of a table, without those that are no bins."""
    return [snr for snr in table.distinct("snr") if snr not in {ALL, "unknown"}]


def _grid(x: Floats, y: Floats, n: Floats, width: float) -> tuple[Floats, Floats, Any]:
    """Return edges and counts [x, y] of the cells that a list of cells spans; empty ones are masked."""
    low = min(x.min(), y.min())
    i, j = (np.rint((values - low) / width).astype(int) for values in (x, y))
    counts = np.zeros((i.max() + 1, j.max() + 1))
    counts[i, j] = n
    edges = [low + width * (np.arange(size + 1) - 0.5) for size in counts.shape]
    return edges[0], edges[1], np.ma.masked_equal(counts, 0)
