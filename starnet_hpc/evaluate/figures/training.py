"""Figures of what was trained: losses, time, places of truths, S/N."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.figures.calibration import dress_pit
from starnet_hpc.evaluate.members import PHASES, VALIDATION
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.evaluate.validations import ENSEMBLE

_PHASE_COLOURS = {
    "data": style.ORANGE,
    "forward": style.SKY,
    "backward": style.BLUE,
    "optimiser": style.GREEN,
    "other": style.GREY,
    VALIDATION: style.PURPLE,
}


def losses(table: Table) -> Figure:
    """Draw training and validation loss of all members against the epoch; a ring marks the weights that are kept."""
    drawn = style.figure(3.8)
    axes = drawn.subplots()
    for k, member in enumerate(table.distinct("member")):
        rows = table.only(lambda row, member=member: str(row["member"]) == member)  # type: ignore[misc]
        colour = style.PALETTE[k % len(style.PALETTE)]
        epoch, valid = rows.numbers("epoch"), rows.numbers("valid_loss")
        axes.plot(epoch, rows.numbers("train_loss"), color=colour, linestyle=":", label="training" if k == 0 else None)
        axes.plot(epoch, valid, color=colour, label=f"member {member}: validation")
        if np.isfinite(valid).any():
            best = int(np.nanargmin(valid))
            axes.plot(epoch[best], valid[best], "o", color=colour, markerfacecolor="none", markersize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="negative log-likelihood")
    shown = table.numbers("valid_loss")
    if (limits := style.finite_limits(np.concatenate([shown, table.numbers("train_loss")]))) is not None:
        # One spike at the start must not flatten the rest.
        top = np.nanpercentile(shown, 95) if np.isfinite(shown).any() else limits[1]
        margin = 0.08 * max(float(top) - limits[0], 1e-3)
        axes.set_ylim(limits[0] - margin, min(limits[1], float(top) + 6 * margin) + margin)
    if table.rows:
        axes.legend(ncols=2)
    return drawn


def time_shares(table: Table) -> Figure:
    """Draw what each member's time went into, a bar a member."""
    drawn = style.figure(1.5 + 0.28 * len(table.rows))
    axes = drawn.subplots()
    left = np.zeros(len(table.rows))
    for phase in (*PHASES, VALIDATION):
        share = table.numbers(phase)
        axes.barh(np.arange(left.size), share, 0.7, left, color=_PHASE_COLOURS[phase], label=phase)
        left += share
    axes.set_yticks(range(left.size), [f"member {member}" for member in table.texts("member")])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 100), xlabel="share of the time [%]")
    style.legend_above(drawn, axes)
    return drawn


def pit(table: Table) -> Figure:
    """Draw the share of truths in each part of their predicted distributions, a line a member."""
    labels = table.distinct("label")
    drawn, panels = style.label_panels(labels, 2.4)
    for label, axes in panels.items():
        shown = table.where(label=label)
        for k, member in enumerate(shown.distinct("member")):
            rows = shown.where(member=member)
            edges = np.append(rows.numbers("low"), rows.numbers("high")[-1])
            whole = member == ENSEMBLE
            axes.stairs(
                rows.numbers("percent"),
                edges,
                color=style.INK if whole else style.PALETTE[k % len(style.PALETTE)],
                linewidth=2.0 if whole else 1.1,
                label=member if whole else f"member {member}",
                baseline=None,
            )
        dress_pit(axes, label, max(len(rows.rows), 1))
    if panels:
        style.legend_above(drawn, panels[labels[0]])
    return drawn


def snr(table: Table) -> Figure:
    """Draw the distribution of S/N of each sample."""
    drawn = style.figure(3.2)
    axes = drawn.subplots()
    for k, sample in enumerate(table.distinct("sample")):
        rows = table.where(sample=sample)
        edges = np.append(rows.numbers("low"), rows.numbers("high")[-1])
        axes.stairs(
            rows.numbers("percent"),
            edges,
            color=style.PALETTE[k % 6],
            linewidth=1.6,
            linestyle=("-", "--", "-.")[k % 3],
            label=f"{sample} ({int(rows.numbers('n').sum()):,})",
        )
    axes.set_xscale("log")
    ticks = [5, 10, 20, 50, 100, 200, 500, 1000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="S/N of a pixel", ylabel="share of spectra [%]", xlim=(5, 1000))
    axes.set_ylim(bottom=0)
    axes.legend()
    return drawn
