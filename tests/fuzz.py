"""Damaged copies of a good file: whatever its bytes, a reader gives something sound or one of our errors."""

import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from starnet_hpc.errors import StarnetError

_Read = TypeVar("_Read")
_copies = itertools.count()

FITS_WORDS = (b"-1", b"99999999", b"'", b"END", b"1E400")
TEXT_WORDS = (b"-1", b"\n", b" ", b"nan", b"1e400", b"#", b"=", b"x", b"1 ", b"\x00\xff")

bounded = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Settings of a fuzz test: the same few seconds every time."""


def survives(
    data: st.DataObject,
    path: Path,
    read: Callable[[Path], _Read],
    is_sound: Callable[[_Read], bool],
    *,
    head: int,
    words: Sequence[bytes] = FITS_WORDS,
) -> None:
    """Damage a copy of a file in one to four places, perhaps cut it short, and read it.

    Args:
        data: Hypothesis' source of choices.
        path: the good file; the copy has its name and lies in a folder below.
        read: the reader; anything else that it raises than our errors fails the test, and so does any warning.
        is_sound: what must hold for whatever is read from the copy.
        head: most changes go to so many bytes at the beginning, where bytes have meaning.
        words: that the format's parser may trip over.
    """
    original = path.read_bytes()
    mutated = bytearray(original)
    where = st.one_of(st.integers(0, min(head, len(original)) - 1), st.integers(0, len(original) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(where)
        new = data.draw(st.one_of(st.binary(min_size=1, max_size=30), st.sampled_from(words)))
        mutated[start : start + len(new)] = new
    if data.draw(st.booleans()):
        mutated = mutated[: data.draw(st.integers(0, len(mutated)))]
    folder = path.parent / f"copy{next(_copies)}"  # files of equal size and time are taken for the same
    folder.mkdir()
    copy = folder / path.name
    copy.write_bytes(bytes(mutated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            back = read(copy)
        except StarnetError as error:
            assert str(folder) in str(error)  # noqa: PT017 - most mutations raise, some do not
        else:
            assert is_sound(back)
