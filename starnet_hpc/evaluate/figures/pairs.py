"""Figures of two runs side by side."""

import numpy as np
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.figures.benchmarks import star_panels
from starnet_hpc.evaluate.figures.calibration import dress_curve, series_by_snr
from starnet_hpc.evaluate.pair_tables import QUANTITIES
from starnet_hpc.evaluate.residuals import FEWEST
from starnet_hpc.evaluate.tables import Table


def ratios(table: Table) -> Figure:
    """Draw second over first run, of residuals, sigmas and CRPS: a point for each label and S/N bin."""
    labels = table.distinct("label")
    series = series_by_snr(table)
    drawn = style.figure(2.0 * len(QUANTITIES) + 0.8)
    panels = drawn.subplots(len(QUANTITIES), 1, sharex=True)
    for axes, (key, title) in zip(panels, QUANTITIES.items(), strict=True):
        for k, (snr, name, colour, marker) in enumerate(series):
            rows = [table.first(label=label, snr=snr) or {} for label in labels]
            value, error = (
                np.array([float(row.get(column, np.nan)) for row in rows])
                for column in (f"{key}_ratio", f"{key}_ratio_error")
            )
            at = np.arange(len(labels)) + (k - 0.5 * (len(series) - 1)) * 0.12
            axes.errorbar(at, value, error, fmt=marker, color=colour, elinewidth=1.0, label=name)
        axes.axhline(1, color=style.INK, linewidth=0.8, linestyle="--")
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        axes.set_ylabel(f"{title}, ratio")
    panels[-1].set_xticks(range(len(labels)), [words.plain(label) for label in labels])
    panels[-1].set_xlim(-0.5, len(labels) - 0.5)
    style.legend_above(drawn, panels[0])
    return drawn


def curves(table: Table) -> Figure:
    """Draw what intervals hold minus what they should, a line for each run."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.6)
    for label, axes in panels.items():
        for k, run in enumerate(table.distinct("run")):
            rows = table.where(label=label, run=run)
            axes.errorbar(
                rows.numbers("nominal"), rows.numbers("excess"), rows.numbers("coverage_error"),
                color=style.PALETTE[k], marker=style.MARKERS[k], markersize=3.5, elinewidth=0.8, label=style.text(run),
            )  # fmt: skip
        dress_curve(axes, label)
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def benchmarks(table: Table) -> Figure:
    """Draw predicted minus published labels of benchmark stars, side by side for each run (paper, Fig. 5).

    Open symbols are stars that do not enter that run's statistics.
    """
    labels, runs = table.distinct("label"), table.distinct("run")
    teff = {str(row["id"]): float(row["reference"]) for row in table.where(label="teff").rows}
    kind = {str(row["id"]): str(row["kind"]) for row in table.rows}
    stars = sorted(kind, key=lambda star: (kind[star], teff.get(star, 0.0)))
    drawn, panels = star_panels(stars, labels)
    for label, axes in zip(labels, panels, strict=False):
        for k, run in enumerate(runs):
            own = table.where(label=label, run=run)
            for rows, inside in ((own.where(remark=""), True), (own.only(lambda row: row["remark"] != ""), False)):
                at = np.array([stars.index(star) + 0.2 * (k - 0.5) for star in rows.texts("id")])
                axes.errorbar(
                    at, rows.numbers("difference"), rows.numbers("combined_sigma"),
                    fmt=style.MARKERS[k], color=style.PALETTE[k], elinewidth=1.0,
                    markerfacecolor=style.PALETTE[k] if inside else "white", label=style.text(run) if inside else None,
                )  # fmt: skip
    style.legend_above(drawn, panels[0])
    return drawn


def bias(table: Table) -> Figure:
    """Draw the median residual along each label, a line for each run (paper, Fig. A3)."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.7)
    for label, axes in panels.items():
        for k, run in enumerate(table.distinct("run")):
            rows = table.where(label=label, run=run).only(lambda row: int(row["n"]) >= FEWEST)
            centre = 0.5 * (rows.numbers("low") + rows.numbers("high"))
            axes.errorbar(
                centre, rows.numbers("median"), rows.numbers("median_error"),
                color=style.PALETTE[k], marker=style.MARKERS[k], elinewidth=0.8, label=style.text(run),
            )  # fmt: skip
        axes.axhline(0, color=style.INK, linewidth=0.8, linestyle="--")
        axes.set_xlabel(words.axis(label, "true "))
        axes.set_ylabel(f"median Δ [{words.unit(label)}]")
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn
