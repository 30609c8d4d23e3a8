"""Stars in a plane of two labels: Teff and log g (paper, Fig. 8), [Fe/H] and [alpha/Fe] (Fig. 9).

Few stars are rows of their own; of many, the table has the cells of the plane with the number of stars in each.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate.sample import LabelColumns, Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.isochrones import Isochrone
from starnet_hpc.statistics import Floats

STAR, CELL, TYPICAL, LINE = "star", "cell", "typical error", "isochrone"
"""What a row of the table is."""
PREDICTED, REFERENCE = "predicted", "reference"

MOST_STARS = 1500
"""Of more stars than this, cells are counted: in a plane of a hand's breadth, points would hide one another."""
CELL_SIZE: Mapping[str, float] = {"teff": 50.0, "logg": 0.06, "feh": 0.04, "afe": 0.012}
"""Width of a cell in each label's unit: about a hundredth of the axis."""
CELLS_BETWEEN: Mapping[str, tuple[float, float]] = {
    "teff": (0.0, 50_000.0),
    "logg": (-5.0, 15.0),
    "feh": (-10.0, 5.0),
    "afe": (-3.0, 3.0),
}
"""Where cells are, in each label's unit; stars beyond are counted in the outermost ones (a network that is given a
broken spectrum may return any number)."""


def plane(
    name: str, caption: str, sample: Sample, axes: tuple[str, str], colour: str, isochrones: Sequence[Isochrone] = ()
) -> Table:
    """Return stars (or cells) in a plane of two labels, with a typical error, and the points of isochrones.

    Args:
        name: of the table.
        caption: of the table.
        sample: predictions; where at least two reference values of both labels are known, the same of those.
        axes: labels of the horizontal and the vertical axis; sigmas are columns `x_err` and `y_err`.
        colour: label whose value (in cells: median) is the column `colour`; "" for none.
        isochrones: lines of theory, in the plane of Teff and log g; `piece` numbers the stretches that a line joins.
    """
    columns = (
        *(Column(key) for key in ("sample", "what", "name", "piece", "n", "x_label", "y_label", "colour_label")),
        Column("x", error="x_err"),
        Column("y", error="y_err"),
        Column("colour"),
        *(Column(key) for key in ("x_low", "x_high", "y_low", "y_high")),
    )
    rows: list[Row] = []
    same: dict[str, Value] = {"x_label": axes[0], "y_label": axes[1], "colour_label": colour}
    for kind, values, sigmas in _kinds(sample, axes, colour):
        same_kind = same | {"sample": kind}
        rows += [same_kind | row for row in _stars_or_cells(axes, values, sigmas)]
    drawn: dict[str, int] = {}
    for one in isochrones:
        # Isochrones of two files may have the same name, but no line joins them.
        for number, (teff, logg) in enumerate(one.pieces(), start=drawn.get(one.name, 0)):
            drawn[one.name] = number + 1
            rows += [
                same
                | {"sample": "", "what": LINE, "name": one.name, "piece": number, "colour": one.metallicity}
                | {"x": float(x), "y": float(y)}
                for x, y in zip(teff, logg, strict=True)
            ]
    return table(name, caption, columns, rows)


def stars_in(found: Table, kind: str) -> int:
    """Return the number of stars of a kind (predicted or reference) in a table of `plane`."""
    return sum(int(row["n"]) for row in found.rows if row["sample"] == kind and row["what"] in (STAR, CELL))


def _kinds(
    sample: Sample, axes: tuple[str, str], colour: str
) -> list[tuple[str, tuple[Floats, Floats, Floats], tuple[Floats, Floats]]]:
    """Return for predictions, and for references if there are any, values (x, y, colour) and sigmas (x, y)."""
    wanted = [label for label in (*axes, colour) if label]
    usable = np.all([sample.predicted[label].usable for label in wanted], axis=0)
    x, y = (sample.predicted[label][usable] for label in axes)
    found = [(PREDICTED, (x.value, y.value, _value(sample.predicted, colour, usable)), (x.sigma, y.sigma))]
    if not sample.truth_error:  # true labels of synthetic spectra fill the box of the grid, and show nothing
        return found
    known = np.all([np.isfinite(sample.truth.get(label, np.full(len(sample), np.nan))) for label in wanted], axis=0)
    known &= usable
    if known.sum() >= max(2, 0.5 * usable.sum()):
        values = tuple(sample.truth[label][known] for label in axes)
        shade = sample.truth[colour][known] if colour else np.full(int(known.sum()), np.nan)
        unknown = np.full(len(sample), np.nan)
        errors = tuple(sample.truth_error.get(label, unknown)[known] for label in axes)
        found.append((REFERENCE, (values[0], values[1], shade), (errors[0], errors[1])))
    return found


def _value(predicted: Mapping[str, LabelColumns], label: str, rows: NDArray[np.bool_]) -> Floats:
    return predicted[label].value[rows] if label else np.full(int(rows.sum()), np.nan)


def _stars_or_cells(
    axes: tuple[str, str], values: tuple[Floats, Floats, Floats], sigmas: tuple[Floats, Floats]
) -> list[dict[str, Value]]:
    x, y, colour = values
    x_err, y_err = sigmas
    if x.size == 0:
        return []
    rows: list[dict[str, Value]]
    if x.size <= MOST_STARS:
        keys = ("x", "y", "colour", "x_err", "y_err")
        stars = zip(*(part.tolist() for part in (x, y, colour, x_err, y_err)), strict=True)
        rows = [{"what": STAR, "n": 1, **dict(zip(keys, star, strict=True))} for star in stars]
    else:
        rows = _cells(axes, x, y, colour)
    errors = [float(np.median(part[np.isfinite(part)])) if np.isfinite(part).any() else np.nan for part in sigmas]
    if np.isfinite(errors).all():
        middle = {"x": float(np.median(x)), "y": float(np.median(y))}
        rows.append({"what": TYPICAL, "n": x.size, "x_err": errors[0], "y_err": errors[1], **middle})
    return rows


def _cells(axes: tuple[str, str], x: Floats, y: Floats, colour: Floats) -> list[dict[str, Value]]:
    """Return the cells that are not empty, each with its number of stars and the medians in it."""
    wide, high = (CELL_SIZE[label] for label in axes)
    x, y = (np.clip(values, *CELLS_BETWEEN[label]) for label, values in zip(axes, (x, y), strict=True))
    i, j = np.floor(x / wide).astype(np.int64), np.floor(y / high).astype(np.int64)
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    starts = np.concatenate([[0], np.flatnonzero((np.diff(i) != 0) | (np.diff(j) != 0)) + 1])
    rows: list[dict[str, Value]] = []
    for inside in np.split(order, starts[1:]):
        left, low = float(np.floor(x[inside[0]] / wide)) * wide, float(np.floor(y[inside[0]] / high)) * high
        row: dict[str, Value] = {"what": CELL, "n": inside.size, "colour": float(np.median(colour[inside]))}
        row |= {"x": left + 0.5 * wide, "x_low": left, "x_high": left + wide}
        row |= {"y": low + 0.5 * high, "y_low": low, "y_high": low + high}
        rows.append(row)
    return rows
