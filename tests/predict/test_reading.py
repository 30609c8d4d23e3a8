"""Reading while predicting: in order, one unit ahead, and each unit with its own errors."""

import threading
from contextlib import closing
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.errors import StoreIncompleteError
from starnet_hpc.predict.reading import read_ahead
from starnet_hpc.stores import Store
from tests import support

UNITS = [range(3), range(3, 6), range(6, 9), range(9, 10)]


class Recording:
    """A store that notes what is read, and cannot read one row."""

    def __init__(self, lost: int | None = None) -> None:
        self.begun: list[int] = []
        self._lost = lost

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        self.begun.append(start)
        if self._lost is not None and start <= self._lost < stop:
            raise StoreIncompleteError("made up")
        return np.arange(start, stop, dtype=np.float32)[:, None]


def store(lost: int | None = None) -> tuple[Recording, Store]:
    made = Recording(lost)
    return made, cast("Store", made)


def test_units_come_in_order_and_the_next_one_is_read_meanwhile() -> None:
    recorded, given = store()
    for number, read in enumerate(read_ahead(given, UNITS)):
        ahead = [unit.start for unit in UNITS[: number + 2]]
        support.wait_until(lambda ahead=ahead: recorded.begun == ahead, "the next unit", limit_s=10)
        np.testing.assert_array_equal(read()[:, 0], UNITS[number])


def test_a_unit_that_cannot_be_read_does_not_keep_the_others() -> None:
    _, given = store(lost=4)
    first, second, third, last = list(read_ahead(given, UNITS))
    with pytest.raises(StoreIncompleteError, match="made up"):
        second()
    assert [len(read()) for read in (first, third, last)] == [3, 3, 1]


def test_who_stops_in_the_middle_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    recorded, given = store()
    with closing(read_ahead(given, UNITS)) as reads:
        next(reads)
    assert threading.active_count() == before
    assert recorded.begun in ([0], [0, 3])


def test_nothing_is_read_where_there_is_nothing_to_do() -> None:
    recorded, given = store()
    assert list(read_ahead(given, [])) == []
    assert recorded.begun == []
