"""Who predicts what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet_hpc.predict.sharing import share

SIZES = st.integers(1, 40)
WIDTHS = st.one_of(st.none(), st.integers(1, 10))


@given(size=SIZES, units=st.integers(0, 50), members=st.integers(1, 9), width=WIDTHS)
def test_every_unit_meets_every_member_exactly_once(size: int, units: int, members: int, width: int | None) -> None:
    shares = [share(rank, size, units, members, width) for rank in range(size)]
    done = [(unit, member) for mine in shares for unit in mine.units for member in mine.members]
    assert sorted(done) == [(unit, member) for unit in range(units) for member in range(members)]


@given(size=SIZES, units=st.integers(0, 50), members=st.integers(1, 9), width=WIDTHS)
def test_ranks_of_a_line_do_the_same_units_in_the_same_order(
    size: int, units: int, members: int, width: int | None
) -> None:
    # Otherwise they would wait for each other in a reduction, and for ever.
    shares = [share(rank, size, units, members, width) for rank in range(size)]
    for line in {mine.line for mine in shares if mine.line >= 0}:
        assert len({mine.units for mine in shares if mine.line == line}) == 1
    assert all(mine.units == mine.members == () for mine in shares if mine.line < 0)


@given(units=st.integers(1, 50), members=st.integers(1, 9), width=WIDTHS)
def test_one_process_does_everything(units: int, members: int, width: int | None) -> None:
    mine = share(0, 1, units, members, width)
    assert (mine.units, mine.members) == (tuple(range(units)), tuple(range(members)))


@pytest.mark.parametrize(("units", "width"), [(100, 1), (10, 1), (5, 2), (2, 5), (1, 7)])
def test_ranks_share_a_units_members_only_where_there_are_more_ranks_than_units(units: int, width: int) -> None:
    shares = [share(rank, 10, units, 7) for rank in range(10)]
    assert sum(mine.line == 0 for mine in shares) == width


def test_no_rank_has_a_unit_more_than_another_needs_to_have() -> None:
    counts = [len(share(rank, 7, 100, 3).units) for rank in range(7)]
    assert max(counts) - min(counts) <= 1
