"""The chapters on stars: a survey's after its cuts, or those of held-out synthetic spectra where there is no survey."""

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError
from starnet_hpc.evaluate import rows, words
from starnet_hpc.evaluate.document import Block, Grid, Picture, Section, Text
from starnet_hpc.evaluate.figures import clusters as cluster_figures
from starnet_hpc.evaluate.figures import planes as plane_figures
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.science import clusters, planes
from starnet_hpc.evaluate.science.membership import Membership, read_membership
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.isochrones import read_isochrones

_KIEL, _ALPHA = ("teff", "logg"), ("feh", "afe")


def science_sections(inputs: Inputs) -> list[Section]:
    """Return the chapters on stars.

    Raises:
        MissingInputError: a file that the configuration names is not there.
        IsochroneFormatError: a file of isochrones cannot be used.
        ObservationFormatError: a table of the members of clusters cannot be used.
        ConfigError: clusters are to be shown, but there is no survey.
    """
    kept = _kept(inputs)
    if inputs.survey is None:
        sample, whose = inputs.test.sample, "held-out synthetic spectra"
    else:
        sample, whose = inputs.survey.sample[kept], "the survey, after its cuts"
    blocks = [*_kiel(inputs, sample, whose), *_alpha(sample, whose)]
    found = [Section("stars", "Stars", tuple(blocks))] if blocks else []
    if inputs.config.evaluate.clusters is not None:
        found.append(_clusters(inputs, kept))
    return found


def _kept(inputs: Inputs) -> NDArray[np.bool_]:
    """Return the rows of the survey that pass the cuts [n]; none without a survey."""
    if inputs.survey is None:
        return np.zeros(0, dtype=bool)
    survey = inputs.survey
    return rows.cuts("", "", survey.sample, inputs.config.evaluate.sigma_limits, survey.benchmarks)[1]


def _kiel(inputs: Inputs, sample: Sample, whose: str) -> list[Block]:
    if not set(_KIEL) <= set(sample.predicted):
        return []
    isochrones = [one for path in inputs.config.evaluate.isochrones for one in read_isochrones(path)]
    colour = "feh" if "feh" in sample.predicted else ""
    table = planes.plane("kiel", f"Kiel diagram of {whose}", sample, _KIEL, colour, isochrones)
    note = f"As Fig. 8 of Bialek et al. (2020); {_counted(table)}."
    if isochrones:
        listed = ", ".join(sorted({one.models if one.models != "table" else one.path.name for one in isochrones}))
        note += f" Lines: isochrones ({listed}), coloured by their own metallicity."
    return [Picture(table, plane_figures.plane, note)]


def _alpha(sample: Sample, whose: str) -> list[Block]:
    if not set(_ALPHA) <= set(sample.predicted):
        return []
    table = planes.plane("alpha_iron", f"[α/Fe] against [Fe/H] of {whose}", sample, _ALPHA, "")
    return [Picture(table, plane_figures.plane, f"As Fig. 9 of Bialek et al. (2020); {_counted(table)}.")]


def _counted(table: Table) -> str:
    shown, compared = (planes.stars_in(table, kind) for kind in (planes.PREDICTED, planes.REFERENCE))
    text = f"{words.count(shown)} spectra"
    if compared:
        text += f", and {words.count(compared)} with reference labels"
    if any(row["what"] == planes.CELL for row in table.rows):
        text += ", counted in cells"
    return text


def _clusters(inputs: Inputs, kept: NDArray[np.bool_]) -> Section:
    config = inputs.config.evaluate.clusters
    if inputs.survey is None or config is None:
        raise ConfigError("evaluate.clusters needs a survey, whose stars they are: give the section survey, too")
    whole = read_membership(config.members, [str(name) for name in inputs.survey.catalogue.ids])
    clusters.check_names(config, whole)
    membership, sample = Membership(whole.cluster[kept], whole.listed), inputs.survey.sample[kept]
    blocks: list[Block] = []
    if {"teff", "logg"} <= set(sample.predicted):
        caption = "Members of clusters, with the isochrones of their ages and compositions"
        shown = clusters.kiel("cluster_stars", caption, config, membership, sample)
        note = "As Fig. 6 of Bialek et al. (2020). Error bars: total sigma. In brackets: stars."
        blocks.append(Picture(shown, cluster_figures.kiel, note))
    if "feh" in sample.predicted:
        table = clusters.metallicities("clusters", "[Fe/H] of clusters [dex]", config, membership, sample)
        note = (
            "± is the statistical error, from the sigmas and the scatter; what is wrong for all stars of a cluster "
            "alike (line data, departures from LTE) is not in it, and shows as Δ. Without a published error, Δ / σ has "
            "the mean's alone."
        )
        blocks.append(Grid(table, note))
        if any(np.isfinite(table.numbers("known"))):
            note = "As Fig. 7 of Bialek et al. (2020). Thick: error of the mean; thin: standard deviation of the stars."
            caption = "Mean [Fe/H] of clusters against published values"
            named = Table("cluster_metallicities", caption, table.columns, table.rows)
            blocks.append(Picture(named, cluster_figures.metallicities, note))
    if not blocks:
        blocks.append(Text("Clusters are shown by Teff, log g and [Fe/H], none of which was predicted."))
    return Section("clusters", "Clusters", tuple(blocks))
