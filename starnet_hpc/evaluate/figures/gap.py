"""Figure of the synthetic gap: synthetic and observed spectra on one map (paper, Fig. 2)."""

from matplotlib.figure import Figure

from starnet_hpc.evaluate.figures import style
from starnet_hpc.evaluate.tables import Table


def embedding(table: Table) -> Figure:
    """Draw one map of both kinds of spectra for each way to make synthetic ones."""
    ways = table.distinct("spectra")
    drawn = style.figure(3.9)
    panels = drawn.subplots(1, 2, squeeze=False)[0]
    samples = table.distinct("sample")
    looks = dict(zip(samples, zip((style.BLUE, style.ORANGE), style.MARKERS, strict=False), strict=False))
    for way, axes in zip(ways, panels, strict=False):
        for sample in samples:
            rows, (colour, marker) = table.where(spectra=way, sample=sample), looks[sample]
            look = {"color": colour, "marker": marker, "label": sample}
            axes.scatter(rows.numbers("x"), rows.numbers("y"), 9, alpha=0.6, linewidths=0, **look)
        axes.set_title(way)
        axes.set_xlabel("t-SNE 1")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
    for axes in panels[len(ways) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("t-SNE 2")
    style.legend_above(drawn, panels[0])
    return drawn
