"""Clusters of stars: each in Teff and log g with its isochrone (paper, Fig. 6), and its [Fe/H] (Fig. 7)."""

import math

import numpy as np

from starnet_hpc.config import StarClustersConfig
from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.science.membership import Membership
from starnet_hpc.evaluate.science.planes import LINE, STAR
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.isochrones import Isochrone, nearest, read_isochrones
from starnet_hpc.statistics import population


def check_names(config: StarClustersConfig, membership: Membership) -> None:
    """Refuse clusters that are known but have no members.

    Raises:
        ObservationFormatError: with the names that the table of members has.
    """
    if unknown := [name for name in config.known if name not in membership.listed]:
        raise ObservationFormatError(
            f"{config.members}: has no members of {', '.join(unknown)}, which evaluate.clusters.known names; its "
            f"clusters are {', '.join(membership.listed)}"
        )


def metallicities(name: str, caption: str, config: StarClustersConfig, membership: Membership, sample: Sample) -> Table:
    """Return one row a cluster: its stars, mean [Fe/H], intrinsic scatter, and how far the mean is from the published.

    Args:
        name: of the table.
        caption: of the table.
        config: what is known of the clusters.
        membership: of the stars of the sample.
        sample: stars that passed the cuts, with predictions of [Fe/H].
    """
    columns = (
        Column("cluster", "cluster"),
        Column("n", "stars", "Spectra of members that passed the cuts and have a usable [Fe/H]"),
        Column("n_listed", "listed", "Members in the table, in the catalogue or not"),
        Column("feh", "[Fe/H]", "Mean, weighted by the inverse of sigma² + scatter²", "feh_error"),
        Column("sigma", "σ of a star", "Median of the predicted sigmas"),
        Column("std", "standard deviation", "Of the predictions: what errors and intrinsic scatter give together"),
        Column("scatter", "intrinsic scatter", "Of maximum likelihood, sigmas being right", "scatter_error"),
        Column("scatter_limit", "scatter <", "Limit of the intrinsic scatter (95 %)"),
        Column("known", "published", "Published [Fe/H]", "known_error"),
        Column("difference", "Δ", "Mean minus published, with the errors of both", "difference_error"),
        Column("pull", "Δ / σ", "The same in units of its error"),
    )
    predicted = sample.predicted["feh"]
    rows: list[Row] = []
    for cluster, listed in membership.listed.items():
        inside = (membership.cluster == cluster) & predicted.usable
        value, sigma = predicted.value[inside], predicted.sigma[inside]
        found = population(value, sigma)
        row: dict[str, Value] = {"cluster": cluster, "n": value.size, "n_listed": listed}
        row |= {"feh": found.mean.value, "feh_error": found.mean.error, "scatter_limit": found.scatter_limit}
        row |= {"scatter": found.scatter.value, "scatter_error": found.scatter.error}
        if value.size:
            row["sigma"] = float(np.median(sigma))
        if value.size > 1:
            row["std"] = float(value.std(ddof=1))
        known = config.known.get(cluster)
        if known is not None and known.feh is not None:
            own = known.e_feh if known.e_feh is not None else math.nan
            error = math.hypot(found.mean.error, known.e_feh or 0.0)
            difference = found.mean.value - known.feh
            row |= {"known": known.feh, "known_error": own, "difference": difference, "difference_error": error}
            row["pull"] = difference / error if error > 0 else math.nan
        rows.append(row)
    return table(name, caption, columns, rows)


def kiel(name: str, caption: str, config: StarClustersConfig, membership: Membership, sample: Sample) -> Table:
    """Return the members of all clusters in Teff and log g, and the points of their isochrones.

    Raises:
        MissingInputError: a file of isochrones is not there.
        IsochroneFormatError: it cannot be used.
    """
    columns = (
        *(Column(key) for key in ("cluster", "what", "name", "piece")),
        Column("teff", error="teff_err"),
        Column("logg", error="logg_err"),
        Column("feh"),
    )
    teff, logg = sample.predicted["teff"], sample.predicted["logg"]
    feh = sample.predicted["feh"].value if "feh" in sample.predicted else np.full(len(sample), np.nan)
    rows: list[Row] = []
    for cluster in membership.listed:
        inside = np.flatnonzero((membership.cluster == cluster) & teff.usable & logg.usable)
        if not inside.size:
            continue
        for k in inside.tolist():
            star: dict[str, Value] = {"cluster": cluster, "what": STAR, "feh": float(feh[k])}
            for key, label in (("teff", teff), ("logg", logg)):
                star |= {key: float(label.value[k]), f"{key}_err": float(label.sigma[k])}
            rows.append(star)
        one = _isochrone(config, cluster, float(np.nanmedian(feh[inside])) if np.isfinite(feh[inside]).any() else 0.0)
        if one is None:
            continue
        for number, (temperatures, gravities) in enumerate(one.pieces()):
            same: dict[str, Value] = {"cluster": cluster, "what": LINE, "piece": number}
            same |= {"name": one.name, "feh": one.metallicity}
            rows += [same | {"teff": float(x), "logg": float(y)} for x, y in zip(temperatures, gravities, strict=True)]
    return table(name, caption, columns, rows)


def _isochrone(config: StarClustersConfig, cluster: str, predicted: float) -> Isochrone | None:
    """Return a cluster's isochrone: of several in its file, the one of the published [Fe/H] (else of the predicted)."""
    known = config.known.get(cluster)
    if known is None or known.isochrone is None:
        return None
    return nearest(read_isochrones(known.isochrone), known.feh if known.feh is not None else predicted)
