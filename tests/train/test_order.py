"""The order of an epoch: whole shards for each rank, shuffled in windows, and a function of the key alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.kernels.random import philox, stream
from starnet_hpc.stores import Layout
from starnet_hpc.train.order import Window, shuffled_windows, windows_in_order

LAYOUT = Layout(rows=1000, pixels=4, shard_rows=32)  # 31 whole shards, and one of 8 rows
SHARDS = range(LAYOUT.shards)


def windows(
    shards: list[int] | range = SHARDS, *, most: int = 5, seed: int = 7, member: int = 0, epoch: int = 0
) -> list[Window]:
    return list(shuffled_windows(LAYOUT, shards, most, seed=seed, member=member, epoch=epoch))


def order(**changes: int) -> list[int]:
    return np.concatenate([window.rows for window in windows(**changes)]).tolist()


@given(shards=st.sets(st.integers(0, LAYOUT.shards - 1), min_size=1), most=st.integers(1, 40), epoch=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_windows_hold_each_row_of_a_ranks_shards_once_and_are_as_equal_as_whole_shards_allow(
    shards: set[int], most: int, epoch: int
) -> None:
    found = windows(sorted(shards), most=most, epoch=epoch)
    assert sorted(shard for window in found for shard in window.shards) == sorted(shards)
    for window in found:
        assert sorted(window.rows) == [row for shard in window.shards for row in LAYOUT.rows_of(shard)]
    sizes = [len(window.shards) for window in found]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-len(shards) // most)


def test_the_order_is_that_of_the_random_words_of_shards_and_of_rows() -> None:
    def words(purpose: str, numbers: list[int]) -> list[int]:
        """The first 64 bits of Philox with the number as the row of the counter."""
        counters = np.zeros((4, len(numbers)), dtype=np.uint32)
        counters[2] = numbers
        philox(counters, *(np.uint32(word) for word in stream(7, "train", 2, purpose, 3)))
        return [(int(high) << 32) | int(low) for high, low in zip(counters[0], counters[1], strict=True)]

    found = windows(member=2, epoch=3)
    drawn = [shard for _, shard in sorted(zip(words("shards", list(SHARDS)), SHARDS, strict=True))]
    sizes = [5, 5, 5, 5, 4, 4, 4]
    for number, size in enumerate(sizes):
        begin = sum(sizes[:number])
        assert found[number].shards == tuple(sorted(drawn[begin : begin + size]))
        rows = [row for shard in found[number].shards for row in LAYOUT.rows_of(shard)]
        assert found[number].rows.tolist() == [row for _, row in sorted(zip(words("order", rows), rows, strict=True))]


def test_where_all_shards_fit_into_a_window_the_order_depends_neither_on_it_nor_on_the_size_of_shards() -> None:
    expected = order(most=32)
    assert order(most=400) == expected
    other = Layout(rows=1000, pixels=4, shard_rows=100)
    (window,) = shuffled_windows(other, range(10), 16, seed=7, member=0, epoch=0)
    assert window.rows.tolist() == expected


def test_two_rows_of_a_window_come_in_the_same_order_whatever_other_ranks_do() -> None:
    alone = order(most=32)
    of_rank = np.concatenate([window.rows for window in windows(range(0, LAYOUT.shards, 3), most=32)])
    assert of_rank.tolist() == [row for row in alone if row // 32 % 3 == 0]


def test_every_epoch_member_and_experiment_has_an_order_of_its_own_and_always_the_same() -> None:
    keys: list[dict[str, int]] = [{}, {"epoch": 1}, {"member": 1}, {"seed": 8}]
    assert len({tuple(order(**key)) for key in keys}) == len(keys)
    assert len({tuple(window.shards for window in windows(**key)) for key in keys}) == len(keys)
    assert all(order(**key) == order(**key) for key in keys)


def test_any_shard_is_as_likely_to_come_in_any_window() -> None:
    epochs = 400
    first = np.concatenate([windows(most=8, epoch=epoch)[0].shards for epoch in range(epochs)])
    counts = np.bincount(first, minlength=LAYOUT.shards)
    # 8 of 32: 100 times each, with a binomial scatter of 8.7.
    assert counts.sum() == 8 * epochs
    assert np.abs(counts - 100).max() < 4.5 * 8.7


def test_in_order_the_rows_are_those_of_one_shard_after_the_other() -> None:
    found = list(windows_in_order(LAYOUT, [1, 3, 31]))
    assert [window.shards for window in found] == [(1,), (3,), (31,)]
    assert np.concatenate([window.rows for window in found]).tolist() == [
        *range(32, 64),
        *range(96, 128),
        *range(992, 1000),
    ]


def test_no_shards_are_no_rows() -> None:
    assert windows([]) == []
    assert list(windows_in_order(LAYOUT, [])) == []
