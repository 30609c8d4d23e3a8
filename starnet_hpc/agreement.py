"""What one process of many runs into, all must know of: else the others wait for it in their next collective."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from starnet_hpc.errors import StarnetError

Value = TypeVar("Value")


def agreed(
    action: Callable[[], Value], gather: Callable[[StarnetError | None], Sequence[StarnetError | None]], *, first: bool
) -> Value:
    """Return `action()`, or raise on every process the error of the first one on which it failed.

    Args:
        action: what all do.
        gather: returns what all processes give it, in their order, on all of them.
        first: whether this process tells of errors; those of the others count as told.
    """
    try:
        result, error = [action()], None
    except StarnetError as caught:
        result, error = [], caught
    for found in gather(error):
        if found is not None:
            found.told = not first
            raise found
    return result[0]
