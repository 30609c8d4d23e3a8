"""What the report takes on this machine, from one figure: drawing is most of it."""

import time
from collections.abc import Sequence

import numpy as np

from starnet_hpc.evaluate.figures import style

_FIGURES, _OF_A_SURVEY, _ENOUGH = 17, 9, 30
"""About how many a report has, and more with a survey of enough stars."""
_CURVES, _POINTS = 3, 30


def rehearse(labels: Sequence[str], survey: int) -> tuple[int, float]:
    """Return about how many figures there will be, and the CPU time [s] of one with a panel for each label.

    That is about the mean of all: between 0.2 s for one curve and 1.4 s for six crowded panels.

    Args:
        labels: that are predicted.
        survey: its stars.
    """
    _draw(labels[:1])  # fonts are looked for
    start = time.process_time()
    _draw(labels)
    return _FIGURES + _OF_A_SURVEY * (survey >= _ENOUGH), time.process_time() - start


def _draw(labels: Sequence[str]) -> None:
    with style.styled():
        drawn, panels = style.label_panels(labels)
        place = np.linspace(0.0, 1.0, _POINTS)
        for label, axes in panels.items():
            for k in range(_CURVES):
                axes.plot(place, np.sin(k + place), label=str(k))
            axes.set_xlabel(label)
            axes.set_ylabel(label)
            axes.set_title(label)
        style.legend_above(drawn, next(iter(panels.values())))
        style.rendered(drawn, "")
