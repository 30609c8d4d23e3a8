"""One line for people about one spectrum: its labels, and whether to believe them."""

import math
from collections.abc import Mapping, Sequence

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.rows import MEANING
from starnet_hpc.flags import Flag
from starnet_hpc.stores import one_line

WITHOUT_LABELS = Flag.UNREADABLE | Flag.BAD_INPUT
"""Flags of rows whose labels are NaN."""


def verdict(flags: int) -> str:
    """Return the flags of a spectrum in words: `fine`, `distrust: ...`, or `no labels: ...`."""
    if flags & WITHOUT_LABELS:
        why = Flag.UNREADABLE if flags & Flag.UNREADABLE else Flag.BAD_INPUT
        return f"no labels: {MEANING[why].partition(';')[0]}"
    carried = [MEANING.get(flag, str(flag.name).lower().replace("_", " ")) for flag in Flag if flags & flag]
    return f"distrust: {'; '.join(carried)}" if carried else "fine"


def verdict_line(
    name: str,
    labels: Sequence[str],
    values: Mapping[str, float],
    *,
    snr: float,
    flags: int,
    remark: str,
) -> str:
    """Return the line of one spectrum.

    Args:
        name: its identifier.
        labels: names of the labels.
        values: each label, and its error as `LABEL_err`, in physical units; NaN where there is no prediction.
        snr: signal-to-noise ratio a pixel, NaN where unknown.
        flags: of its row.
        remark: why the file could not be used.
    """
    if flags & WITHOUT_LABELS:
        return one_line(f"{name}  no labels: {remark}" if remark else f"{name}  {verdict(flags)}")
    noise = f"S/N {snr:.0f}" if math.isfinite(snr) else "S/N unknown"
    measured = ", ".join(_measured(label, values[label], values[f"{label}_err"]) for label in labels)
    return one_line(f"{name}  {noise}  {measured}  {verdict(flags)}")


def _measured(label: str, value: float, error: float) -> str:
    unit = words.unit(label)
    return f"{words.plain(label)} {words.with_error(value, error)}" + ("" if unit == "dex" else f" {unit}")
