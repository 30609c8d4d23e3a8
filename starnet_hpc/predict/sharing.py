"""Who predicts what: pure functions of numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One rank's part of a prediction."""

    line: int
    """Which line of ranks it is in; -1: none, there is nothing for it to do."""
    units: tuple[int, ...]
    """Units (shards of rows) of its line."""
    members: tuple[int, ...]
    """Members that it applies to them."""


def share(rank: int, size: int, units: int, members: int, per_unit: int | None = None) -> Share:
    """Return the share of one rank.

    Args:
        rank: this rank.
        size: number of ranks.
        units: number of units to do.
        members: number of members.
        per_unit: ranks that share the members of one unit; by default one while there are units enough.
    """
    width = per_unit if per_unit is not None else max(1, size // max(units, 1))
    width = max(1, min(width, members, size))
    lines = size // width
    line, column = divmod(rank, width)
    if line >= lines:
        return Share(-1, (), ())
    return Share(line, tuple(range(line, units, lines)), tuple(range(column, members, width)))
