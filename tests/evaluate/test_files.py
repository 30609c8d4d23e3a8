"""Files beside the page: a figure is drawn when it, or what it shows, is not there as it should be."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from starnet_hpc.evaluate.document import Picture, Section
from starnet_hpc.evaluate.figures import training
from starnet_hpc.evaluate.files import write_files
from starnet_hpc.evaluate.tables import Table
from tests.evaluate.test_figures import losses

SHOWN = [0.5, -0.5, -1.0]


def titled(table: Table, title: str) -> Figure:
    """Draw the same figure under a title."""
    drawn = training.losses(table)
    drawn.suptitle(title)
    return drawn


def write(folder: Path, valid: list[float], draw: Callable[[Table], Figure] = training.losses) -> dict[str, bytes]:
    """Write one figure; return all its files, and the image that the page gets under its name."""
    told: list[str] = []
    images = write_files(folder, [Section("s", "S", (Picture(losses(valid), draw),))], told.append)
    assert told == ["losses"]
    return {path.name: path.read_bytes() for path in folder.iterdir()} | images


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("losses.p*")}


def test_a_figure_that_is_there_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, then = write(tmp_path, SHOWN), times(tmp_path)
    assert set(first) == {"losses.csv", "losses.pdf", "losses.png", "index.csv", "losses"}
    assert first["losses"] == first["losses.png"]
    monkeypatch.setattr(Picture, "render", None)
    assert write(tmp_path, SHOWN) == first
    assert times(tmp_path) == then


def cut(folder: Path) -> None:
    (folder / "losses.png").write_bytes((folder / "losses.png").read_bytes()[:-500])


def empty(folder: Path) -> None:
    (folder / "losses.png").write_bytes(b"")


def remove(form: str, folder: Path) -> None:
    (folder / f"losses.{form}").unlink()


@pytest.mark.parametrize("damage", [cut, empty, partial(remove, "png"), partial(remove, "pdf")])
def test_a_figure_that_is_not_whole_is_drawn_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    first = write(tmp_path, SHOWN)
    damage(tmp_path)
    assert write(tmp_path, SHOWN) == first


def test_a_figure_of_other_numbers_or_by_another_hand_is_drawn_again(tmp_path: Path) -> None:
    found = [
        write(tmp_path, SHOWN)["losses"],
        write(tmp_path, [0.5, -0.5, -1.0 - 1e-9])["losses"],
        write(tmp_path, SHOWN, partial(titled, title="one"))["losses"],
        write(tmp_path, SHOWN, partial(titled, title="another"))["losses"],
    ]
    assert len(set(found)) == 4
