"""Figure of what drives each label: its sensitivity to flux along the median spectrum."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table

_GAP = 5.0
"""Pixels that are so many times as far apart as others have a gap between them, across which no line goes."""


def panels(table: Table) -> Figure:
    """Draw one panel a label: the sensitivity to the left axis, the median spectrum to the right one."""
    labels = table.distinct("label")
    drawn = style.figure(1.75 * max(len(labels), 1) + 0.5)
    axes = drawn.subplots(max(len(labels), 1), 1, squeeze=False, sharex=True)[:, 0]
    for label, panel in zip(labels, axes, strict=False):
        _panel(panel, table.where(label=label))
        panel.set_title(words.plain(label))
    axes[-1].set_xlabel("wavelength in air, at rest [Å]")
    drawn.supylabel("sensitivity [σ for 1 % of the continuum in a pixel]", fontsize=10)
    return drawn


def _panel(axes: Axes, rows: Table) -> None:
    wavelength, value = rows.numbers("wavelength_angstrom"), rows.numbers("sigma_per_percent")
    inside = rows.numbers("window") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(wavelength[begin], wavelength[end - 1], color=style.ORANGE, alpha=0.14, linewidth=0)
    spectrum = axes.twinx()
    apart = np.diff(wavelength, append=wavelength[-1:])
    gap = apart > _GAP * np.median(apart)
    spectrum.plot(wavelength, np.where(gap, np.nan, rows.numbers("flux")), color=style.GREY, linewidth=0.7)
    spectrum.set_ylabel("flux", color=style.GREY)
    spectrum.grid(visible=False)
    axes.plot(wavelength, np.where(gap, np.nan, value), color=style.BLUE, linewidth=0.9)
    axes.axhline(0.0, color=style.INK, linewidth=0.6)
    axes.set_zorder(spectrum.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.margins(x=0)
