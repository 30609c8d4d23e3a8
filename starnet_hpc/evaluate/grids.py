"""How much synthetic grids differ at equal labels, as the networks would see them (paper, section 3.2 and Fig. 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import CoverageError, GridFormatError
from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Block, Grid, Picture, Section, Text
from starnet_hpc.evaluate.figures import grids as figures
from starnet_hpc.evaluate.gridmatch import FEWEST_MATCHES, Rows, interpolate, matches
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.evaluate.templates import TemplateView
from starnet_hpc.grids.ferre import alpha_of
from starnet_hpc.instruments import Instrument
from starnet_hpc.labels import ordered
from starnet_hpc.statistics import Floats, median
from starnet_hpc.stores import Store, open_store

FEWEST = 5
"""A bin with fewer pairs of spectra shows no number."""

SAME, INTERPOLATED = "templates with the same labels", "interpolated between templates"

_AXES = ("teff", "logg", "feh")
_BINS = 8
_MOST_TEMPLATES = 2500
_MOST_PIXELS = 4000
"""Pixels that differences are averaged over, evenly spread: more would not change an average."""


@dataclass(frozen=True)
class Comparison:
    """Differences of one grid's spectra from the reference grid's."""

    name: str
    store: Store
    how: str
    labels: Floats
    """Labels of the pairs [pairs, L], in the order of `names`."""
    difference: Floats
    """Mean over the pixels of abs(flux / reference - 1) [pairs], per cent."""
    names: tuple[str, ...]
    floor_labels: Floats
    """Labels of the reference grid's templates [templates, L]; none unless it was interpolated."""
    floor: Floats
    """What the interpolation alone gives for each of them when it is left out [templates], per cent."""


def grids_section(config: ExperimentConfig, instrument: Instrument) -> Section:
    """Return the chapter on the grids of `evaluate.compare_grids` against the grid of this run.

    One that cannot be compared, since it has other labels or does not cover the instrument's range, is told of there.

    Raises:
        MissingInputError: a grid is not there.
    """
    reference = open_store(config.store("grid"), made_by="ingest")
    found: list[Comparison] = []
    refused: list[Block] = []
    for name, path in config.evaluate.compare_grids.items():
        other = open_store(path, made_by="ingest")
        try:
            found.append(compare(config, instrument, reference, name, other))
        except (CoverageError, GridFormatError) as error:
            refused.append(Text(f"The grid {name} could not be compared. {error}."))
    return Section("grids", "Other synthetic grids", (*_blocks(found, reference, instrument), *refused))


def _blocks(found: Sequence[Comparison], reference: Store, instrument: Instrument) -> tuple[Block, ...]:
    """Return table and figure of what could be compared, if anything could."""
    if not found:
        return ()
    seen = (
        f"Templates as the networks would see them: at rest, not rotating, without noise, at the resolution and on the "
        f"pixels of {instrument.name}, divided by the continuum that step vi finds. Each difference is the mean over "
        f"pixels of |flux / reference − 1|."
    )
    if any(comparison.how == INTERPOLATED for comparison in found):
        seen += (
            " Where two grids have no templates in common, this run's grid is interpolated in its labels to those of "
            "the other. The error of that adds to the difference; it is measured on each template as interpolated "
            "between all others."
        )
    with_alpha = [one for one in found if "afe" in one.names]
    fixed = [one.name for one in with_alpha if "afe" not in one.store.label_names]
    if with_alpha and "afe" not in reference.label_names:
        fixed.insert(0, "this run's grid")
    if fixed:
        seen += (
            f" [α/Fe] is no label of {words.listed(fixed)}: taken as FERRE's rule has it (paper, 3.1), else as solar."
        )
    note = (
        f"As Fig. 1 of Bialek et al. (2020). Points: median in a bin with at least {FEWEST} spectra; bands: the middle "
        f"68 % of the spectra. Dashed: what interpolation between this grid's own templates gives."
    )
    return Grid(summary(found), seen), Picture(along_labels(found), figures.differences, note)


def compare(config: ExperimentConfig, instrument: Instrument, reference: Store, name: str, other: Store) -> Comparison:
    """Return the differences of a grid from the reference.

    Raises:
        CoverageError: a grid does not cover the instrument's range.
        GridFormatError: there are no templates at comparable labels.
    """
    names = ordered([*reference.label_names, *other.label_names])
    ours, theirs = (_columns(store, names) for store in (reference, other))
    pixels = _pixels(instrument)
    views = [TemplateView(store, instrument, config.augment, pixels) for store in (reference, other)]
    mine, its = matches(ours, theirs, names)
    if mine.size >= FEWEST_MATCHES:
        chosen = _evenly(mine.size)
        mine, its = mine[chosen], its[chosen]
        pairs = zip(mine.tolist(), its.tolist(), strict=True)
        difference = np.array([_percent(views[1].normalised(b), views[0].normalised(a)) for a, b in pairs])
        nothing = np.empty((0, len(names)))
        return Comparison(name, other, SAME, theirs[its], difference, names, nothing, np.empty(0))
    mine, its = _evenly(len(reference)), _evenly(len(other))
    flux = views[0].many(mine)
    whole = np.isfinite(flux).all(axis=1)  # without a continuum somewhere, a template is no node to interpolate between
    mine, flux = mine[whole], flux[whole]
    found = interpolate(ours[mine], flux, theirs[its])
    its = its[found.rows]
    if not its.size or not mine.size:
        raise GridFormatError(
            f"{other.path}: no template has labels ({', '.join(names)}) within those of {reference.path}; "
            f"take it out of evaluate.compare_grids"
        )
    pairs = zip(its.tolist(), found.flux, strict=True)
    difference = np.array([_percent(views[1].normalised(row), expected) for row, expected in pairs])
    floor = np.array([_percent(a, b) for a, b in zip(found.left_out, flux, strict=True)])
    return Comparison(name, other, INTERPOLATED, theirs[its], difference, names, ours[mine], floor)


def summary(found: Sequence[Comparison]) -> Table:
    """Return one row a grid: what was compared, and how much it differs."""
    columns = (
        Column("grid", "grid"),
        Column("templates", "templates"),
        Column("n", "compared", "Templates at labels of this run's grid"),
        Column("how", "at equal labels by"),
        Column("labels", "labels"),
        Column("median", "median [%]", "Median of the difference over the spectra", "median_error"),
        Column("low", "16 %", "Below this lie 16 % of the spectra"),
        Column("high", "84 %", "Below this lie 84 % of the spectra"),
        Column("floor", "interpolation [%]", "Median of what interpolation alone gives"),
        Column("digest"),
    )
    rows: list[Row] = []
    for one in found:
        centre = median(one.difference)
        low, high = np.percentile(one.difference, [16, 84])
        rows.append(
            {
                "grid": one.name,
                "templates": len(one.store),
                "n": one.difference.size,
                "how": one.how,
                "labels": ", ".join(one.names),
                "median": centre.value,
                "median_error": centre.error,
                "low": float(low),
                "high": float(high),
                "floor": float(np.median(one.floor)) if one.floor.size else np.nan,
                "digest": one.store.content_digest,
            }
        )
    return table("grids", "Differences from the grid of this run", columns, rows)


def along_labels(found: Sequence[Comparison]) -> Table:
    """Return the median difference in bins of each label, a grid after the other."""
    columns = (
        *(Column(key) for key in ("grid", "label", "bin_low", "bin_high", "centre", "n")),
        Column("median", error="median_error"),
        *(Column(key) for key in ("low", "high", "floor", "n_floor")),
    )
    rows: list[Row] = []
    for one in found:
        for label in (name for name in _AXES if name in one.names):
            which = one.names.index(label)
            values, templates = one.labels[:, which], one.floor_labels[:, which]
            edges = _edges(values)
            for low, high in pairwise(edges.tolist()):
                inside = one.difference[(values >= low) & (values < high)]
                floor = one.floor[(templates >= low) & (templates < high)]
                row: dict[str, str | int | float] = {"grid": one.name, "label": label, "n": inside.size}
                row |= {"bin_low": low, "bin_high": high, "n_floor": floor.size}
                if inside.size >= FEWEST:
                    centre = median(inside)
                    spread = np.percentile(inside, [16, 84])
                    row |= {"median": centre.value, "median_error": centre.error}
                    row |= {"low": float(spread[0]), "high": float(spread[1])}
                    row["centre"] = float(np.median(values[(values >= low) & (values < high)]))
                    if floor.size >= FEWEST:
                        row["floor"] = float(np.median(floor))
                rows.append(row)
    return table("grid_differences", "Difference of other grids from this run's, along the labels", columns, rows)


def _columns(store: Store, names: Sequence[str]) -> Floats:
    """Return labels [templates, L]; those that a grid does not vary as its format has them, else solar ratios."""
    labels = np.asarray(store.column("labels"), dtype=np.float64)
    columns = {name: labels[:, k] for k, name in enumerate(store.label_names)}
    if lacking := [name for name in names if name not in columns and name != "afe"]:
        raise GridFormatError(
            f"{store.path}: does not vary {', '.join(lacking)}, which a grid that it is compared with does: there are "
            f"no equal labels; take that grid out of evaluate.compare_grids"
        )
    if "afe" not in columns:
        tied = store.attributes.get("format") == "ferre"
        columns["afe"] = np.array([alpha_of(feh) for feh in columns["feh"]]) if tied else np.zeros(len(store))
    return np.stack([columns[name] for name in names], axis=1)


def _pixels(instrument: Instrument) -> Rows:
    """Return pixels to compare spectra on."""
    seen = np.flatnonzero(~instrument.tellurics())
    return np.asarray(seen[_evenly(seen.size, _MOST_PIXELS)], dtype=np.int64)


def _evenly(count: int, most: int = _MOST_TEMPLATES) -> Rows:
    """Return up to `most` of `count` numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _percent(flux: Floats, reference: Floats) -> float:
    usable = np.isfinite(flux) & np.isfinite(reference) & (reference > 0)
    return float(100.0 * np.mean(np.abs(flux[usable] / reference[usable] - 1.0))) if usable.any() else np.nan


def _edges(values: Floats) -> Floats:
    """Return edges of bins: between the nodes if there are few, else equally wide."""
    nodes = np.unique(values)
    if nodes.size == 1:
        return np.array([nodes[0] - 0.5, nodes[0] + 0.5])
    if nodes.size <= _BINS:
        middle = 0.5 * (nodes[1:] + nodes[:-1])
        return np.concatenate([[2 * nodes[0] - middle[0]], middle, [2 * nodes[-1] - middle[-1] + 1e-9]])
    edges = np.linspace(nodes[0], nodes[-1], _BINS + 1)
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return edges
