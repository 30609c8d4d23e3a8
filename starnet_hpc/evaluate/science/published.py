"""Other published labels of the same benchmark stars (paper, Table 2): older ones, or a later release."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.evaluate import benchmarks
from starnet_hpc.evaluate.document import Block, Grid
from starnet_hpc.evaluate.inputs import Survey
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.science.csvtable import read_rows
from starnet_hpc.evaluate.science.starnames import names_in, star_of
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.labels import ordered
from starnet_hpc.statistics import Floats

OWN = "survey manifest"
"""Name of the labels that the survey's manifest gives."""


def other_labels(
    config: ExperimentConfig, survey: Survey, own: tuple[Table, Table], ranges: Mapping[str, tuple[float, float]]
) -> list[Block]:
    """Return benchmark stars against each table of `evaluate.benchmark_labels`, beside the manifest's own labels.

    Args:
        config: of the experiment.
        survey: with benchmark stars.
        own: their tables against the manifest's labels, star by star and by kind.
        ranges: of each label, outside which stars are not compared.

    Raises:
        MissingInputError: a table is not there.
        ObservationFormatError: it cannot be used.
    """
    if not config.evaluate.benchmark_labels:
        return []
    chosen = survey.benchmarks
    sample, ids = survey.sample[chosen], [str(name) for name in survey.catalogue.ids[chosen]]
    compared = {OWN: own}
    for name, path in config.evaluate.benchmark_labels.items():
        truth, error = read_labels(path, ids)
        published = Sample(sample.predicted, truth, error, sample.snr)
        stars = benchmarks.stars("", "", ids, published, ranges)
        compared[name] = stars, benchmarks.groups("", "", stars)
    groups = _together("benchmark_groups_by_source", "Benchmark stars by kind, for each source of labels", compared, 1)
    every = _together("benchmarks_by_source", "Benchmark stars against each source of labels", compared, 0)
    note = (
        f"{OWN}: the survey's own reference labels, as above. Differences between sources tell how well published "
        f"labels are known, as far as the stars are the same: look at N, and mind that each source's own labels decide "
        f"on the kind."
    )
    return [Grid(groups, note), Grid(every, "A star that a source does not have is left out there.", folded=True)]


def read_labels(path: Path, ids: Sequence[str]) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return published labels and their errors [n] by label, NaN where unknown.

    Args:
        path: CSV with a column `id`, `star`, `hd` or `hip`, columns of labels, and where known `e_` their errors.
        ids: of the stars [n]; blanks and capitals do not matter, and benchmark stars are known by other names, too.

    Raises:
        MissingInputError: there is no such file.
        ObservationFormatError: it has no label, something that is no number, or a star twice or none.
    """
    what = "table of published labels (evaluate.benchmark_labels)"
    lines = read_rows(path, (), what)
    names = tuple(lines[0][1]) if lines else ()
    labels = ordered(names)
    if not {"id", "star", "hd", "hip"} & set(names) or not labels:
        raise ObservationFormatError(
            f"{path}: a {what} has a column id (or star, hd, hip) and columns of labels such as teff and e_teff, "
            f"separated by commas; its columns are {', '.join(names) or 'none'}"
        )
    places: dict[str, list[int]] = {}
    for k, name in enumerate(ids):  # a star may have several spectra, under several of its names
        places.setdefault(star_of(name), []).append(k)
    values = {name: np.full(len(ids), np.nan) for label in labels for name in (label, f"e_{label}")}
    seen: set[str] = set()
    for number, row in lines:
        stars = {star_of(name) for name in names_in(row)}
        if again := stars & seen:
            raise ObservationFormatError(f"{path}: line {number}: {', '.join(sorted(again))} is there twice")
        seen |= stars
        if not (known := stars & set(places)):
            continue
        if len(known) > 1:
            raise ObservationFormatError(f"{path}: line {number}: is of two stars, {' and '.join(sorted(known))}")
        star = known.pop()
        for name, column in values.items():
            if text := row.get(name, ""):
                column[places[star]] = _number(path, number, name, text)
    if not seen & set(places):
        raise ObservationFormatError(
            f"{path}: has none of the survey's benchmark stars ({', '.join(ids)}); give names as in the catalogue"
        )
    return {label: values[label] for label in labels}, {label: values[f"e_{label}"] for label in labels}


def _together(name: str, caption: str, compared: Mapping[str, tuple[Table, Table]], which: int) -> Table:
    """Return the tables of all sources in one, with the source as the first column."""
    rows: list[Row] = [{"source": source, **row} for source, pair in compared.items() for row in pair[which].rows]
    columns = next(iter(compared.values()))[which].columns
    return table(name, caption, (Column("source", "labels"), *columns), rows)


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ObservationFormatError(f"{path}: line {line}: {column} is {text!r}, expected a number") from None
