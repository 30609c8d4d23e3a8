"""What the report consists of, before it is turned into a page and files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from starnet_hpc.evaluate.figures.style import rendered, styled
from starnet_hpc.evaluate.tables import Table


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
        """Return the figure as `png` and `pdf`."""
        with styled():
            return rendered(self.draw(self.table))


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
