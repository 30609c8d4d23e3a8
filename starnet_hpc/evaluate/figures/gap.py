"""Figure of the synthetic gap: synthetic and observed spectra on one map (paper, Fig. 2)."""

from matplotlib.figure import Figure

from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def embedding(table: Table) -> Figure:
    """Draw both kinds of spectra, one beside the other and on top of each other, on the same axes."""
    drawn = style.figure(3.9)
    panels = drawn.subplots(1, 3, sharex=True, sharey=True)
    samples = table.distinct("sample")
    looks = dict(zip(samples, zip((style.BLUE, style.ORANGE), style.MARKERS, strict=False), strict=False))
    shown = [("both", samples), *((sample, [sample]) for sample in samples)]
    for (title, parts), axes in zip(shown, panels, strict=False):
        for sample in parts:
            rows, (colour, marker) = table.where(sample=sample), looks[sample]
            look = {"color": colour, "marker": marker, "label": sample}
            axes.scatter(rows.numbers("x"), rows.numbers("y"), 9, alpha=0.6, linewidths=0, **look)
        axes.set_title(title)
        axes.set_xlabel("t-SNE 1")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
    panels[0].set_ylabel("t-SNE 2")
    style.legend_above(drawn, panels[0])
    return drawn
