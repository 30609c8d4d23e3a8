"""Stars in planes of two labels, as rows or as cells, and the lines of theory among them."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import planes as figures
from starnet_hpc.evaluate.sample import LabelColumns, Sample
from starnet_hpc.evaluate.science import planes
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.isochrones import Isochrone

KIEL = ("teff", "logg")
SIGMA = {"teff": 50.0, "logg": 0.1, "feh": 0.05, "afe": 0.03}


def stars(count: int, *, references: bool = False) -> Sample:
    """A main sequence of stars whose [Fe/H] goes with temperature; every tenth has no usable prediction."""
    generator = np.random.Generator(np.random.Philox(3))
    teff = 4000.0 + 3000.0 * generator.random(count)
    truth = {"teff": teff, "logg": 5.0 - teff / 8000.0, "feh": (teff - 6000.0) / 1000.0}
    truth["afe"] = -0.2 * truth["feh"]
    predicted = {}
    for name, values in truth.items():
        value = values + SIGMA[name] * generator.standard_normal(count)
        value[::10] = np.nan
        sigma = np.full(count, SIGMA[name])
        predicted[name] = LabelColumns(value, sigma, sigma, sigma)
    errors = {name: np.full(count, 2 * sigma) for name, sigma in SIGMA.items()} if references else {}
    return Sample(predicted, truth, errors, np.full(count, 80.0))


def of_kind(found: Table, what: str, sample: str = planes.PREDICTED) -> Table:
    return found.where(what=what, sample=sample)


def test_few_stars_are_rows_and_those_without_labels_are_left_out() -> None:
    sample = stars(100)
    found = planes.plane("kiel", "c", sample, KIEL, "feh")
    rows = of_kind(found, planes.STAR)
    np.testing.assert_array_equal(rows.numbers("x"), sample.predicted["teff"].value[sample.predicted["teff"].usable])
    assert len(rows.rows) == planes.stars_in(found, planes.PREDICTED) == 90
    (typical,) = of_kind(found, planes.TYPICAL).rows
    assert (typical["x_err"], typical["y_err"]) == (50.0, pytest.approx(0.1))
    assert found.where(sample=planes.REFERENCE).rows == ()  # true labels of synthetic spectra show nothing


def test_many_stars_are_counted_in_cells_that_hold_each_of_them_once() -> None:
    sample = stars(20_000, references=True)
    found = planes.plane("kiel", "c", sample, KIEL, "feh")
    cells = of_kind(found, planes.CELL)
    assert len(cells.rows) < 2000
    assert cells.numbers("n").sum() == planes.stars_in(found, planes.REFERENCE) == 18_000
    row = cells.rows[int(np.argmax(cells.numbers("n")))]
    teff, logg, feh = (sample.predicted[name].value for name in ("teff", "logg", "feh"))
    inside = (teff >= row["x_low"]) & (teff < row["x_high"]) & (logg >= row["y_low"]) & (logg < row["y_high"])
    assert inside.sum() == row["n"]
    assert np.median(feh[inside]) == pytest.approx(row["colour"])


def test_labels_that_no_star_can_have_are_counted_in_the_outermost_cells_and_do_not_fill_the_memory() -> None:
    sample = stars(3000)
    usable = np.flatnonzero(sample.predicted["teff"].usable)
    for k, value in zip(usable, (1e7, -1e20, 1e300), strict=False):
        sample.predicted["teff"].value[k] = value
        sample.predicted["logg"].value[k] = -value
    found = planes.plane("kiel", "c", sample, KIEL, "feh")
    cells = of_kind(found, planes.CELL)
    assert cells.numbers("n").sum() == usable.size
    assert cells.numbers("x_high").max() < 1e5
    # Nor do three stars of thousands decide on what the figure shows.
    left, right = figures.plane(found).axes[0].get_xlim()
    assert 6900.0 < left < 7700.0
    assert 3300.0 < right < 4100.0


def test_isochrones_of_the_same_name_are_not_joined() -> None:
    teff, logg = np.linspace(6000.0, 4000.0, 30), np.linspace(4.5, 1.0, 30)
    same = [Isochrone(Path(f"{k}/m67.csv"), "table", np.nan, 0.0, teff, logg + 0.1 * k) for k in range(2)]
    lines = planes.plane("kiel", "c", stars(20), KIEL, "feh", same).where(what=planes.LINE)
    assert lines.distinct("name") == ["m67, [Fe/H] +0.00"]
    assert [len(lines.where(piece=k).rows) for k in range(3)] == [30, 30, 0]


def test_references_are_shown_where_at_least_half_of_the_stars_have_them() -> None:
    sample = stars(200, references=True)
    found = planes.plane("afe", "c", sample, ("feh", "afe"), "")
    assert planes.stars_in(found, planes.REFERENCE) == 180
    sample.truth["afe"][30:] = np.nan
    assert planes.stars_in(planes.plane("afe", "c", sample, ("feh", "afe"), ""), planes.REFERENCE) == 0


@pytest.mark.parametrize(("count", "axes", "colour"), [(0, KIEL, "feh"), (30, KIEL, "feh"), (3000, ("feh", "afe"), "")])
def test_any_number_of_stars_can_be_drawn(count: int, axes: tuple[str, str], colour: str) -> None:
    sample = stars(max(count, 1), references=count == 30)
    found = planes.plane("plane", "c", sample[np.arange(max(count, 1)) < count], axes, colour)
    assert Picture(found, figures.plane).render()["png"].startswith(b"\x89PNG")
