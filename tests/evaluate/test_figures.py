"""Figures are functions of tables, the same bytes each time, and do not fall over little data."""

import math

import pytest

from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import style, training
from starnet_hpc.evaluate.tables import Column, Row, Table, table


def losses(valid: list[float]) -> Table:
    names = ("member", "epoch", "train_loss", "valid_loss", "learning_rate", "seconds")
    rows: list[Row] = [
        {"member": 0, "epoch": k + 1, "train_loss": loss, "valid_loss": loss, "learning_rate": 1e-3, "seconds": 1.0}
        for k, loss in enumerate(valid)
    ]
    return table("losses", "Losses", [Column(name) for name in names], rows)


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_the_same_table_gives_the_same_bytes(form: str) -> None:
    picture = Picture(losses([0.5, -0.5, -1.0]), training.losses)
    assert picture.render()[form] == picture.render()[form]


@pytest.mark.parametrize("valid", [[], [0.1], [math.nan, math.nan], [1e9, 0.5, -0.5]])
def test_losses_can_be_drawn_whatever_they_are(valid: list[float]) -> None:
    assert Picture(losses(valid), training.losses).render()["png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["_run", "a$b$", r"$\frac 1$", "a"])
def test_a_legend_has_every_name_as_it_was_given(name: str) -> None:
    drawn = style.figure(2.0)
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], label=style.text(name))
    style.legend_above(drawn, axes)
    (text,) = drawn.legends[0].get_texts()
    shown, mathematics = text._preprocess_math(text.get_text())
    assert (shown.strip(), mathematics) == (name, False)
