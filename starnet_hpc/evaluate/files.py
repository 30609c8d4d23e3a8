"""Tables and figures as files beside the page."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from starnet_hpc.evaluate.document import Picture, Section
from starnet_hpc.evaluate.tables import Column, Row, table
from starnet_hpc.stores import explain_full_disk, write_atomically

INDEX = "index"

_FORMS = ("pdf", "png")
"""In the order in which they are written: where the PNG is, the PDF is of the same figure."""
_HEAD = 1024
_PNG_END = b"IEND\xaeB`\x82"


def write_files(folder: Path, chapters: Sequence[Section], drawn: Callable[[str], object]) -> dict[str, bytes]:
    """Write every table as CSV and every figure as PNG and PDF; return the PNGs by the name of their table.

    Figures that are there already as they would be drawn again are left alone: drawing takes most of the time. Files
    that an earlier evaluation wrote and this one did not (say, of a survey that was dropped) are removed.

    Args:
        folder: where to.
        chapters: of the report.
        drawn: called with the name of each figure when it is there.
    """
    with explain_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, str] = {}
    images: dict[str, bytes] = {}

    def write(name: str, form: str, content: bytes) -> None:
        write_atomically(folder / f"{name}.{form}", lambda file: file.write(content))

    for chapter in chapters:
        for shown in chapter.tables():
            write(shown.name, "csv", shown.csv().encode())
            index[f"{shown.name}.csv"] = shown.caption
        for picture in chapter.pictures():
            name = picture.table.name
            image = _drawn_before(folder, picture)
            if image is None:
                forms = picture.render()
                for form in _FORMS:
                    write(name, form, forms[form])
                image = forms["png"]
            images[name] = image
            index |= {f"{name}.{form}": picture.table.caption for form in _FORMS}
            drawn(name)
    _remove_stale(folder, set(index))
    rows: list[Row] = [{"file": name, "content": caption} for name, caption in index.items()]
    listed = table(INDEX, "Files of this folder", (Column("file"), Column("content")), rows)
    write_atomically(folder / f"{INDEX}.csv", lambda file: file.write(listed.csv().encode()))
    return images


def _drawn_before(folder: Path, picture: Picture) -> bytes | None:
    """Return the PNG of a figure that is there as it would be drawn again; None if it has to be drawn."""
    png, pdf = (folder / f"{picture.table.name}.{form}" for form in ("png", "pdf"))
    try:
        content = png.read_bytes()
    except OSError:
        return None
    # In the head, in front of the pixels; whoever cuts or changes the picture writes another head.
    whole = picture.digest.encode() in content[:_HEAD] and content.endswith(_PNG_END)
    return content if whole and pdf.exists() else None


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
