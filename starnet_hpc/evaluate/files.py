"""Tables and figures as files beside the page."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from starnet_hpc.evaluate.document import Section
from starnet_hpc.evaluate.tables import Column, Row, table
from starnet_hpc.stores import explain_full_disk, write_atomically

INDEX = "index"


def write_files(folder: Path, chapters: Sequence[Section], drawn: Callable[[str], object]) -> dict[str, bytes]:
    """Write every table as CSV and every figure as PNG and PDF; return the PNGs by the name of their table.

    Files that an earlier evaluation wrote and this one did not (say, of a survey that was dropped) are removed.

    Args:
        folder: where to.
        chapters: of the report.
        drawn: called with the name of each figure when it is there.
    """
    with explain_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, str] = {}
    images: dict[str, bytes] = {}

    def write(name: str, form: str, content: bytes, caption: str) -> None:
        write_atomically(folder / f"{name}.{form}", lambda file: file.write(content))
        index[f"{name}.{form}"] = caption

    for chapter in chapters:
        for shown in chapter.tables():
            write(shown.name, "csv", shown.csv().encode(), shown.caption)
        for picture in chapter.pictures():
            forms = picture.render()
            for form, content in forms.items():
                write(picture.table.name, form, content, picture.table.caption)
            images[picture.table.name] = forms["png"]
            drawn(picture.table.name)
    _remove_stale(folder, set(index))
    rows: list[Row] = [{"file": name, "content": caption} for name, caption in index.items()]
    listed = table(INDEX, "Files of this folder", (Column("file"), Column("content")), rows)
    write_atomically(folder / f"{INDEX}.csv", lambda file: file.write(listed.csv().encode()))
    return images


def _remove_stale(folder: Path, current: set[str]) -> None:
    """Remove what the last index names and this evaluation did not write; nothing else in the folder is touched."""
    try:
        with (folder / f"{INDEX}.csv").open(encoding="utf-8", newline="") as file:
            before = {row["file"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError):
        return
    for name in before - current:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
