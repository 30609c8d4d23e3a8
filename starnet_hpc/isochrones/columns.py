"""Text files of numbered blocks below `#` lines, the last of which names the columns: what PARSEC and MIST share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import IsochroneFormatError


@dataclass(frozen=True)
class Block:
    """Lines of numbers with the `#` lines above them."""

    comments: tuple[str, ...]
    """Without their marks."""
    names: tuple[str, ...]
    """Of the columns, from the last comment."""
    values: NDArray[np.float64]
    """[rows, columns]."""

    def column(self, *wanted: str) -> NDArray[np.float64] | None:
        """Return the first of the wanted columns that is there [rows]; None if there is none."""
        lowered = [name.lower() for name in self.names]
        for name in wanted:
            if name.lower() in lowered:
                return self.values[:, lowered.index(name.lower())]
        return None


def blocks(path: Path, text: str) -> list[Block]:
    """Return the blocks of a text in their order.

    Raises:
        IsochroneFormatError: a line has other than numbers, or more or fewer of them than there are columns.
    """
    found: list[Block] = []
    comments: list[str] = []
    names: tuple[str, ...] = ()
    rows: list[list[float]] = []
    above: tuple[str, ...] = ()

    def finish() -> None:
        if rows:
            found.append(Block(above, names, np.array(rows)))
            rows.clear()

    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("#"):
            finish()
            comments.append(stripped.lstrip("#").strip())
        elif stripped:
            if not rows:
                names, above = tuple(comments[-1].split()) if comments else (), tuple(comments)
            rows.append(_numbers(path, number, stripped.split(), names))
    finish()
    return found


def required(path: Path, block: Block, *wanted: str) -> NDArray[np.float64]:
    """Return the first of the wanted columns that is there [rows].

    Raises:
        IsochroneFormatError: none of them is.
    """
    values = block.column(*wanted)
    if values is None:
        raise IsochroneFormatError(
            f"{path}: has no column {' or '.join(wanted)}; its columns are {', '.join(block.names) or 'without names'}"
        )
    return values


def _numbers(path: Path, number: int, words: Sequence[str], names: Sequence[str]) -> list[float]:
    if len(words) != len(names):
        raise IsochroneFormatError(
            f"{path}: line {number} has {len(words)} columns, but the `#` line above names {len(names)}; it is "
            f"truncated, or of another format: download it again"
        )
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise IsochroneFormatError(
            f"{path}: line {number} is no line of numbers ({error}); download it again"
        ) from None
