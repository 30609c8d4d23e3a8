"""From sections to one self-contained HTML page. Every text passes `html.escape`."""

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Block, Grid, Listing, Picture, Section, Stars, Text
from starnet_hpc.evaluate.doubts import SIGNIFICANT
from starnet_hpc.evaluate.sample import ALL
from starnet_hpc.evaluate.tables import Row, Table, Value, cell_text, written
from starnet_hpc.evaluate.verdict import Verdict
from starnet_hpc.labels import LABELS

FOLDER = "report"
"""Folder beside the page that holds tables and figures as files."""
_FILES = "{files}"
"""Stands for it in links until the page is put together; text from elsewhere has no such link, since it is escaped."""


def render(
    title: str,
    subtitle: str,
    verdict: Verdict,
    sections: Sequence[Section],
    images: Mapping[str, bytes],
    folder: str = FOLDER,
) -> str:
    """Return the page.

    Args:
        title: name of the experiment.
        subtitle: one line below it.
        verdict: what stands at the top.
        sections: the chapters.
        images: PNG bytes of every figure by the name of its table.
        folder: beside the page, with tables and figures as files.
    """
    numbers = iter(range(1, 1000))
    body = "\n".join(_section(section, images, numbers) for section in sections)
    body = body.replace(f'href="{_FILES}/', f'href="{escape(folder)}/')
    links = "".join(f'<a href="#{escape(s.key)}">{escape(s.title)}</a>' for s in sections)
    return _fill(
        _template("page.html"),
        {
            "title": escape(title),
            "subtitle": escape(subtitle),
            "style": _template("style.css"),
            "script": _template("page.js"),
            "navigation": f'<a href="#verdict">Verdict</a>{links}',
            "verdict": _verdict(verdict),
            "sections": body,
        },
    )


def _template(name: str) -> str:
    return resources.files("starnet_hpc.evaluate").joinpath("report", name).read_text(encoding="utf-8")


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template with each {{name}} replaced; values are not searched again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _verdict(verdict: Verdict) -> str:
    parts = {"trained": ("Trained on", verdict.trained), "good": ("How good", verdict.good)}
    parts["doubts"] = ("Where not to trust it", verdict.doubts)
    lists = "".join(
        f'<div class="{key}"><h3>{title}</h3><ul>{"".join(f"<li>{_prose(text)}</li>" for text in texts)}</ul></div>'
        for key, (title, texts) in parts.items()
        if texts
    )
    return f'<p class="headline">{_prose(verdict.headline)}</p>\n<div class="columns">{lists}</div>'


def _prose(text: str) -> str:
    """Return a sentence whose quantities and names of labels are not broken between lines."""
    text = re.sub(r"(?<=\d) (?=(?:K|dex|km/s|%|Å|times|members)\b|%)| (?=±)|(?<=±) |(?<=to) (?=[\d−])", "\u00a0", text)
    for name in map(words.plain, LABELS):
        text = text.replace(name, name.replace(" ", "\u00a0"))
    return escape(text)


def _section(section: Section, images: Mapping[str, bytes], numbers: Iterator[int]) -> str:
    blocks = "\n".join(_block(block, images, numbers) for block in section.blocks)
    return f'<section id="{escape(section.key)}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block, images: Mapping[str, bytes], numbers: Iterator[int]) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Listing(title, text):
            return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
        case Grid(table, note, folded):
            shown = _scrolled(_table(table))
            if folded:
                return f"<details><summary>{escape(table.caption)}</summary>{shown}{_note(note, table)}</details>"
            return f"<h3>{escape(table.caption)}</h3>{shown}{_note(note, table)}"
        case Stars(table, note):
            return f"<h3>{escape(table.caption)}</h3>{_scrolled(_stars(table))}{_note(note, table)}"
        case Picture(table, _, note):
            return _picture(table, note, images[table.name], next(numbers))


def _picture(table: Table, note: str, png: bytes, number: int) -> str:
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # the PNG's own header
    image = base64.b64encode(png).decode()
    name, caption = escape(table.name), escape(table.caption)
    files = _file(f"{table.name}.csv", "numbers") + " · " + _file(f"{table.name}.pdf", "PDF")
    return (
        f'<figure id="figure-{name}"><img src="data:image/png;base64,{image}" alt="{caption}" '
        f'width="{width}" height="{height}" tabindex="0" role="button">'
        f"<figcaption><b>Figure {number}. {caption}.</b> {escape(note)} "
        f'<span class="files">{files}</span></figcaption></figure>'
    )


def _note(note: str, table: Table) -> str:
    return f'<p class="note">{escape(note)} <span class="files">{_file(f"{table.name}.csv", "CSV")}</span></p>'


def _file(name: str, text: str) -> str:
    return f'<a href="{_FILES}/{escape(name)}">{escape(text)}</a>'


def _scrolled(table: str) -> str:
    """Return a table in a box that scrolls sideways on narrow screens (and that keys can reach)."""
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _table(table: Table) -> str:
    heads = "".join(
        f'<th scope="col" title="{escape(column.note)}">{escape(column.title)}</th>' for column in table.shown
    )
    rows = "\n".join(
        f"<tr{_row_class(row, table)}>"
        + "".join(
            _cell(row.get(column.name, float("nan")), cell_text(row, column), column.name) for column in table.shown
        )
        + "</tr>"
        for row in table.rows
    )
    columns = ",".join(column.name for column in table.shown)
    return (
        f'<table class="sortable" data-name="{escape(table.name)}" data-columns="{escape(columns)}">'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    )


def _row_class(row: Row, table: Table) -> str:
    """Return the mark of rows that sum up the bins above them."""
    return ' class="all"' if row.get("snr") == ALL and "snr" in table.names else ""


def _cell(value: Value, text: str, name: str) -> str:
    kind = "t" if isinstance(value, str) else "n"
    if name == "verdict":
        kind += f" {escape(str(value).replace(' ', '-'))}"
    return f'<td class="{kind}" data-value="{escape(written(value))}">{escape(text)}</td>'


def _stars(table: Table) -> str:
    """Return benchmark stars, a row each: predicted, published, and their difference in sigmas, below one another."""
    labels = table.distinct("label")
    heads = "".join(f'<th scope="col">{escape(words.plain(name))} [{escape(words.unit(name))}]</th>' for name in labels)
    rows = "\n".join(_star(table.where(id=star), star, labels) for star in table.distinct("id"))
    return (
        f'<table class="sortable stars" data-name="{escape(table.name)}"><thead><tr><th scope="col">star</th>'
        f'<th scope="col">S/N</th>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
    )


def _star(rows: Table, star: str, labels: Sequence[str]) -> str:
    first, remarks = rows.rows[0], rows.distinct("remark")
    about = [f"<b>{escape(star)}</b>", f"<small>{escape(str(first['kind']))}</small>"]
    shared = len(remarks) == 1
    if shared and remarks[0]:
        about.append(f'<small class="remark">{escape(remarks[0])}</small>')
    snr = float(first["snr"])
    cells = "".join(_star_cell(rows.first(label=label), remarked=not shared) for label in labels)
    head = f'<td class="t" data-value="{escape(star)}">{"<br>".join(about)}</td>'
    return f'<tr>{head}<td class="n" data-value="{written(snr)}">{words.number(snr)}</td>{cells}</tr>'


def _star_cell(row: Row | None, *, remarked: bool) -> str:
    """Return predicted, published and difference, below one another; with the remark, unless the whole star has it."""
    if row is None:
        return f'<td class="n" data-value="">{words.MISSING}</td>'
    pull, remark, error = float(row["pull"]), str(row["remark"]), float(row["reference_error"])
    kind = "outside" if remark else ("far" if abs(pull) > SIGNIFICANT else "")
    known = float(row["reference"])
    published = words.with_error(known, error) if error > 0 else words.value(str(row["label"]), known)
    lines = [
        escape(words.with_error(float(row["value"]), float(row["sigma"]))),
        f'<span class="published">{escape(published)}</span>',
        words.MISSING if math.isnan(pull) else f"{words.signed(f'{pull:+.1f}')} σ",
    ]
    if remark and remarked:
        lines.append(f'<small class="remark">{escape(remark)}</small>')
    return f'<td class="n {kind}" data-value="{written(pull)}">{"<br>".join(lines)}</td>'
