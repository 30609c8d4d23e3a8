from itertools import pairwise

import numpy as np
import pytest

from starnet_hpc.evaluate import benchmarks
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import benchmarks as figures
from starnet_hpc.evaluate.sample import ALL, LabelColumns, Sample
from starnet_hpc.evaluate.tables import Table

RANGES = {"teff": (4000.0, 7000.0), "logg": (0.5, 5.0), "feh": (-3.0, 0.5), "vrad": (-2.0, 2.0)}
PUBLISHED = {
    "teff": [5771.0, 5000.0, 5100.0, 5200.0, 3500.0],
    "logg": [4.44, 4.5, 4.5, 4.5, 1.0],
    "feh": [0.03, 0.0, 0.0, 0.0, 0.0],
    "vrad": [0.0, 0.0, 0.0, 5.0, 0.0],
}
DIFFERENCE = 30.0, 40.0, -30.0, -40.0, 500.0
NAMES = ["Sun", "a", "b", "c", "cool"]


def compared(names: list[str] = NAMES) -> Table:
    truth = {name: np.array(values) for name, values in PUBLISHED.items()}
    error = {name: np.full(5, np.nan) for name in truth} | {"teff": np.array([40.0, 0.0, 0.0, 0.0, 0.0])}
    sigma = np.full(5, 30.0)
    value = truth["teff"] + np.array(DIFFERENCE)
    predicted = {"teff": LabelColumns(value, sigma, sigma, sigma)}
    for name in ("logg", "feh", "vrad"):
        predicted[name] = LabelColumns(truth[name], np.full(5, 0.1), np.full(5, 0.1), np.full(5, 0.1))
    return benchmarks.stars("b", "c", names, Sample(predicted, truth, error, np.full(5, 200.0)), RANGES)


def test_differences_are_in_units_of_the_combined_sigma() -> None:
    row = compared().first(id="Sun", label="teff")
    assert row is not None
    assert row["combined_sigma"] == pytest.approx(50.0)
    assert row["pull"] == pytest.approx(0.6)


def test_without_a_published_error_sigma_stands_alone() -> None:
    row = compared().first(id="Sun", label="logg")
    assert row is not None
    assert np.isnan(row["reference_error"])
    assert row["combined_sigma"] == pytest.approx(0.1)


def test_a_star_outside_the_grid_is_outside_in_every_label() -> None:
    assert set(compared().where(id="cool").texts("remark")) == {"outside trained range: Teff"}


def test_a_velocity_outside_leaves_the_other_labels_inside() -> None:
    row = compared().where(id="c")
    assert dict(zip(row.texts("label"), row.texts("remark"), strict=True)) == {
        "teff": "",
        "logg": "",
        "feh": "",
        "vrad": "outside trained range: v rad",
    }


def test_groups_have_rms_and_mean_absolute_difference_of_stars_in_range() -> None:
    groups = benchmarks.groups("g", "c", compared())
    dwarfs = groups.first(kind="metal-rich dwarf", label="teff")
    assert dwarfs is not None
    assert dwarfs["n"] == 4
    assert dwarfs["rms"] == pytest.approx(np.sqrt((900 + 1600) / 2))
    assert dwarfs["mean_absolute"] == pytest.approx(35.0)
    every = groups.first(kind=ALL, label="teff")
    assert every is not None
    assert (every["n"], every["n_left_out"]) == (4, 1)


def test_groups_of_too_few_stars_claim_nothing() -> None:
    giants = benchmarks.groups("g", "c", compared()).first(kind="metal-rich giant", label="teff")
    assert giants is not None
    assert giants["n"] == 0
    assert "rms" not in giants


def test_names_with_dollars_are_drawn_as_they_stand() -> None:
    table = compared([r"HD $\frac 1_2$", "a$b$", "$", "_d", "e"])
    assert Picture(table, figures.differences).render()["png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [5, 120])
def test_names_of_stars_do_not_hide_one_another(count: int) -> None:
    few = compared()
    rows = [{**row, "id": f"HD{k:06d}"} for k in range(count) for row in few.where(id=NAMES[k % 3]).rows]
    drawn = figures.differences(Table("b", "c", few.columns, tuple(rows)))
    drawn.draw_without_rendering()
    names = [name.get_tightbbox() for name in drawn.axes[-1].get_xticklabels()]
    if count > 30:
        assert all(left.x1 <= right.x0 for left, right in pairwise(names))
