"""What the report consists of, before it is turned into a page and files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from starnet_hpc.evaluate.figures.style import rendered, styled
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.provenance import digest_bytes, digest_recipe


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Listing:
    """Text that is shown as it stands, folded away under a title."""

    title: str
    words: str


@dataclass(frozen=True)
class Grid:
    """A table to show; with `folded`, only under its caption until it is asked for."""

    table: Table
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Stars:
    """The table of benchmark stars, which is shown star by star."""

    table: Table
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure and the table that it shows; the table goes into a CSV file of the same name."""

    table: Table
    draw: Callable[[Table], Figure]
    note: str = ""

    def render(self) -> dict[str, bytes]:
        """Return the figure as `pdf` and `png`; the latter has the digest in it."""
        with styled():
            return rendered(self.draw(self.table), self.digest)

    @property
    def digest(self) -> str:
        """Digest of all that its bytes depend on: the table, and the code."""
        table, draw = self.table, self.draw
        fixed: tuple[object, ...] = ()
        if isinstance(draw, partial):
            fixed, draw = (draw.args, draw.keywords), draw.func
        shown = repr([table.name, table.caption, table.columns, table.rows, draw.__module__, draw.__qualname__, fixed])
        return digest_recipe({"shown": digest_bytes(shown.encode()), "code": _code()})


@cache
def _code() -> str:
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    code = b"".join(path.read_bytes() for path in sources)
    return digest_bytes(code + mpl.__version__.encode())


Block = Text | Listing | Grid | Stars | Picture


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    key: str
    """Anchor on the page."""
    title: str
    blocks: tuple[Block, ...] = field(default=())

    def tables(self) -> Iterator[Table]:
        """Yield every table that is shown or drawn here."""
        for block in self.blocks:
            if isinstance(block, Grid | Stars | Picture):
                yield block.table

    def pictures(self) -> Iterator[Picture]:
        """Yield every figure."""
        for block in self.blocks:
            if isinstance(block, Picture):
                yield block
