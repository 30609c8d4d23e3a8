import csv
import io

import pytest

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.tables import Column, Table, cell_text, table


def example() -> Table:
    value = Column("value", "value", error="value_error")
    columns = (Column("label", "label"), value, Column("n", "N"), Column("hidden"))
    rows = [
        {"label": "teff", "value": 5829.4, "value_error": 47.1, "n": 12345, "hidden": 1.5},
        {"label": "feh", "value": float("nan"), "value_error": float("nan"), "n": 0, "hidden": 2.5},
    ]
    return table("example", "An example", columns, rows)


def test_csv_has_errors_in_columns_of_their_own_and_nothing_for_nan() -> None:
    rows = list(csv.DictReader(io.StringIO(example().csv())))
    assert rows[0] == {"label": "teff", "value": "5829.4", "value_error": "47.1", "n": "12345", "hidden": "1.5"}
    assert rows[1]["value"] == rows[1]["value_error"] == ""


def test_lines_for_a_terminal_show_what_the_page_shows() -> None:
    lines = example().lines()
    assert lines[0].split() == ["label", "value", "N"]
    assert lines[1].split() == ["Teff", "5829", "±", "47", "12,345"]
    assert words.MISSING in lines[2]


def test_rows_are_found_by_their_values() -> None:
    assert [row["label"] for row in example().where(n=0).rows] == ["feh"]
    assert example().first(label="vrad") is None
    assert cell_text(example().rows[1], Column("value")) == words.MISSING


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (5829.4, 47.1, "5829 ± 47"),
        (5829.4, 2.71, "5829.4 ± 2.7"),
        (0.0251, 0.0042, "0.025 ± 0.004"),
        (-0.0001, 0.012, "0.000 ± 0.012"),
        (-1.234, 0.05, "−1.23 ± 0.05"),
        (12.0, float("nan"), "12.0"),
        (float("nan"), 1.0, words.MISSING),
    ],
)
def test_values_are_rounded_to_their_errors(value: float, error: float, text: str) -> None:
    assert words.with_error(value, error) == text


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_as_phrases(items: list[str], text: str) -> None:
    assert words.listed(items) == text
