"""The figure of residual histograms (paper, Fig. 10)."""

import numpy as np
from matplotlib.figure import Figure

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def residuals(table: Table, true: str = "true") -> Figure:
    """Draw the histogram of residuals a label, its median as a line, and median and standard deviation in words."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.6)
    for label, axes in panels.items():
        rows = table.where(label=label)
        first, unit = rows.rows[0], words.unit(label)
        low, high, n = (rows.numbers(key) for key in ("low", "high", "n"))
        axes.bar(low, n, high - low, align="edge", color=style.SKY, alpha=0.8, linewidth=0)
        axes.axvline(0.0, color=style.INK, linewidth=0.8, linestyle="--")
        if np.isfinite(float(first["median"])):
            axes.axvline(float(first["median"]), color=style.ORANGE, linewidth=1.4)
        told = [("median", "median"), ("std", "std"), ("robust_std", "robust σ")]
        text = [f"{name} {words.with_error(float(first[key]), float(first[f'{key}_error']))}" for key, name in told]
        # Above the panel, where no bar can hide it.
        axes.set_title(f"{words.plain(label)} [{unit}]\n" + "\n".join(text), fontsize=8.5)
        axes.set_xlabel(f"predicted − {true} [{unit}]")
        axes.set_ylabel("spectra")
        axes.set_xlim(low[0], high[-1])
    return drawn
