"""Whether predicted distributions are right as a whole, not at one sigma alone: coverage, PIT, sharpness, CRPS.

A catalogue has a mean and a sigma of each label, so that every prediction is judged as a Gaussian, that of networks
that predict mixtures, too.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.coverage import pulls
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, SNR, UNIT
from starnet_hpc.evaluate.sample import Sample, SnrBin, groups_by_snr
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import (
    crps_of_each,
    jackknife_error,
    mean,
    median,
    probability_integral,
    share,
    uniform_distance,
)

NOMINAL = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
"""Intervals [%], centred on the prediction, whose coverage is looked at."""
PIT_PARTS = 20


def curve(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin]) -> Table:
    """Return how many truths the central intervals of a Gaussian hold, a label, S/N bin and interval."""
    columns = (
        LABEL,
        SNR,
        Column("nominal", "interval [%]", "Share of truths that it should hold"),
        Column("coverage", "holds [%]", "Share of truths that it holds", "coverage_error"),
        Column("excess", "difference", "Held minus expected, in per cent of the spectra", "coverage_error"),
        COUNT,
    )
    reach = ndtri(0.5 + 0.005 * np.array(NOMINAL))
    rows: list[Row] = []
    for label, snr, chosen in _large_groups(sample, bins):
        distance, clusters = np.abs(pulls(sample, label, chosen)), sample.clusters_of(chosen)
        for nominal, sigmas in zip(NOMINAL, reach, strict=True):
            held = share(distance <= sigmas, clusters)
            row: dict[str, Value] = {"label": label, "snr": snr, "nominal": nominal, "n": distance.size}
            row |= {"coverage": held.value, "coverage_error": held.error, "excess": held.value - nominal}
            rows.append(row)
    return table(name, caption, columns, rows)


def pit(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin]) -> Table:
    """Return the share of truths [%] in each twentieth of their predicted distributions, a label and S/N bin."""
    columns = (LABEL, SNR, Column("low"), Column("high"), Column("percent", error="percent_error"), COUNT)
    edges = np.linspace(0.0, 1.0, PIT_PARTS + 1)
    rows: list[Row] = []
    for label, snr, chosen in _large_groups(sample, bins):
        place, clusters = probability_integral(-pulls(sample, label, chosen)), sample.clusters_of(chosen)
        part = np.minimum((place * PIT_PARTS).astype(int), PIT_PARTS - 1)
        for k in range(PIT_PARTS):
            hit = share(part == k, clusters)
            row: dict[str, Value] = {"label": label, "snr": snr, "low": float(edges[k]), "n": place.size}
            row |= {"high": float(edges[k + 1]), "percent": hit.value, "percent_error": hit.error}
            rows.append(row)
    return table(name, caption, columns, rows)


def scores(name: str, caption: str, sample: Sample, bins: Sequence[SnrBin]) -> Table:
    """Return sharpness, CRPS and the distance of the PIT from a uniform one, a label and S/N bin, all rows last."""
    columns = (
        LABEL,
        UNIT,
        SNR,
        Column("sharpness", "sharpness", "Median predicted sigma: smaller is sharper", "sharpness_error"),
        Column(
            "crps",
            "CRPS",
            "Mean continuous ranked probability score: the absolute error of a distribution; smaller is better",
            "crps_error",
        ),
        Column(
            "crps_ratio", "× expected", "CRPS over what Gaussian errors of the predicted size give", "crps_ratio_error"
        ),
        Column(
            "pit_distance",
            "PIT distance",
            "Largest distance of the PIT's distribution from a uniform one (Kolmogorov-Smirnov); 0 if all is right",
            "pit_distance_error",
        ),
        Column("pit_chance", "by chance", "Half of right distributions of so many independent spectra have more"),
        COUNT,
    )
    rows: list[Row] = [
        {"label": label, "unit": words.unit(label), "snr": snr, **_scored(sample, label, inside)}
        for label in sample.labels
        for snr, inside in groups_by_snr(sample.snr, bins)
    ]
    return table(name, caption, columns, rows)


def _large_groups(sample: Sample, bins: Sequence[SnrBin]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield label, S/N bin and usable rows [n] of all groups that are large enough to tell shares of."""
    for label in sample.labels:
        usable = sample.usable(label)
        for snr, inside in groups_by_snr(sample.snr, bins):
            chosen = usable & inside
            if chosen.sum() >= FEWEST:
                yield label, snr, chosen


def _scored(sample: Sample, label: str, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, Value]:
    chosen = inside & sample.usable(label)
    n = int(chosen.sum())
    if n < FEWEST:
        return {"n": n}
    clusters = sample.clusters_of(chosen)
    pull, sigma = pulls(sample, label, chosen), sample.combined_sigma(label, chosen)
    score = mean(crps_of_each(pull, sigma), clusters)
    expected = float(sigma.mean()) / np.sqrt(np.pi)
    place = probability_integral(-pull)[:, None]
    together = np.arange(n) if clusters is None else clusters
    sharp = median(sample.predicted[label].sigma[chosen], clusters)
    return {
        "n": n,
        "sharpness": sharp.value,
        "sharpness_error": sharp.error,
        "crps": score.value,
        "crps_error": score.error,
        "crps_ratio": score.value / expected,
        "crps_ratio_error": score.error / expected,
        "pit_distance": float(uniform_distance(place)[0]),
        "pit_distance_error": float(jackknife_error(uniform_distance, place, together)[0]),
        "pit_chance": 0.8276 / np.sqrt(n),  # median of Kolmogorov's distribution
    }
