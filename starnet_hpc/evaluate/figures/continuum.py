"""Figures of the continuum: its bias with noise and temperature (paper, Fig. A1), and spectra with it (Fig. A2)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starnet_hpc.evaluate.continuum_tables import HELD_OUT, SURVEY
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Row, Table, Value


def bias(table: Table) -> Figure:
    """Draw the median offset of the continuum against noise, a line for each bin of Teff."""
    drawn = style.figure(4.0)
    axes = drawn.subplots()
    bins = list(dict.fromkeys((row["teff_low"], row["teff_high"], row["n"]) for row in table.rows))
    for (low, high, count), colour, marker in zip(
        bins, style.sequence(len(bins)), style.MARKERS * len(bins), strict=False
    ):
        rows = table.where(teff_low=low, teff_high=high)
        noise, offset = rows.numbers("noise_percent"), rows.numbers("offset_percent")
        name = f"{low:.0f}–{high:.0f} K ({count})"
        axes.errorbar(
            noise, offset, rows.numbers("offset_percent_error"),
            color=colour, marker=marker, elinewidth=0.8, label=name,
        )  # fmt: skip
    axes.axhline(0.0, color=style.INK, linewidth=0.8, linestyle="--")
    axes.set(xlabel="noise of a pixel [% of the median flux]", ylabel="offset of the continuum [%]")
    if table.rows:
        # Hot stars at the top, as their lines are.
        axes.legend(title="Teff (templates)", loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    return drawn


def example_spectra(table: Table) -> Figure:
    """Draw spectra with their continua: held-out ones to the left, the survey's to the right.

    Without a survey, the held-out ones stand to the right once more, normalised.
    """
    columns = [_of(table, sample) for sample in (HELD_OUT, SURVEY) if sample in table.distinct("sample")]
    alone = len(columns) < 2
    count = max([1, *(len(column) for column in columns)])
    drawn = style.figure(1.9 * count + 0.6)
    panels = drawn.subplots(count, 2, squeeze=False, sharex=True)
    for side, column in enumerate(columns):
        for (title, rows), axes in zip(column, panels[:, side], strict=False):
            _raw(axes, rows)
            axes.set_title(style.text(title), fontsize=8)
        for unused in panels[len(column) :, side]:
            unused.set_axis_off()
    for (_, rows), axes in zip(columns[0] if alone and columns else [], panels[:, 1], strict=False):
        _line(axes, rows, "normalised", color=style.GREY, linewidth=0.5)
        axes.axhline(1.0, color=style.ORANGE, linewidth=1.0)
        axes.set_ylabel("flux / continuum")
    for axes in panels.ravel():
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.margins(x=0)
    for axes in panels[-1]:
        axes.set_xlabel("wavelength in air [Å]")
    style.legend_above(drawn, panels[0, 0])
    return drawn


def _raw(axes: Axes, rows: Table) -> None:
    _line(axes, rows, "flux", color=style.GREY, linewidth=0.5)
    _line(axes, rows, "continuum", color=style.ORANGE, linewidth=1.6, label="continuum that was found")
    if np.isfinite(rows.numbers("true_continuum")).any():
        _line(axes, rows, "true_continuum", color=style.BLUE, linewidth=1.4, linestyle="--", label="true continuum")
    axes.set_ylabel("flux / median")


def _line(axes: Axes, rows: Table, name: str, **look: object) -> None:
    axes.plot(rows.numbers("wavelength_angstrom"), rows.numbers(name), **look)  # type: ignore[arg-type]


def _of(table: Table, sample: str) -> list[tuple[str, Table]]:
    """Return title and pixels of each spectrum of a sample."""
    pixels: dict[tuple[Value, Value], list[Row]] = {}
    for row in table.rows:
        if row["sample"] == sample:
            pixels.setdefault((row["number"], row["spectrum"]), []).append(row)
    return [
        (str(title), Table(table.name, table.caption, table.columns, tuple(rows)))
        for (_, title), rows in pixels.items()
    ]
