"""Batches: whole shards for each rank, every row at most once an epoch, in an order that the key gives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import ConfigError
from starnet_hpc.networks import LabelScale
from starnet_hpc.stores import Store, open_store
from starnet_hpc.train.data import RankData
from starnet_hpc.train.order import shards_of_rank, steps_per_epoch
from tests import support

ROWS = 150  # five shards, the last one short
PLAIN = LabelScale(np.zeros(3), np.ones(3))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    config = support.ready_to_train(tmp_path_factory.mktemp("data") / "run", rows=ROWS)
    return open_store(config.store("train"), made_by="augment")


@pytest.fixture(scope="module")
def data(store: Store) -> RankData:
    return RankData(store, PLAIN, shards_of_rank(store, 0, 1))


def rows_of(data: RankData, epoch: int, *, size: int = 16, steps: int = 9, first: int = 0) -> list[list[int]]:
    return [batch.rows.tolist() for batch in data.epoch(7, 0, epoch, size, steps, first)]


@given(world=st.integers(1, 5))
@settings(max_examples=5, deadline=None)
def test_ranks_share_all_shards_and_none_twice(store: Store, world: int) -> None:
    shares = [shards_of_rank(store, rank, world) for rank in range(world)]
    assert sorted(shard for share in shares for shard in share) == list(range(store.layout.shards))


def test_more_processes_than_shards_is_a_wrong_configuration_with_a_way_out(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"5 shards for 6 processes: lower augment\.shard_rows to 25"):
        shards_of_rank(store, 0, 6)


def test_the_rank_with_the_fewest_rows_decides_how_many_steps_all_take(store: Store) -> None:
    assert steps_per_epoch(store, 1, 16) == ROWS // 16
    assert steps_per_epoch(store, 2, 16) == (32 + 32) // 16  # the other rank has 32 + 32 + 22
    assert steps_per_epoch(store, 5, 16) == 22 // 16


def test_a_batch_larger_than_a_ranks_rows_is_a_wrong_configuration(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"23 spectra a process, but one process has only 22 .*train\.batch_size"):
        steps_per_epoch(store, 5, 23)


def test_an_epoch_uses_every_row_at_most_once(data: RankData) -> None:
    rows = [row for batch in rows_of(data, 0) for row in batch]
    assert len(rows) == len(set(rows)) == 9 * 16


def test_the_rows_left_over_are_others_in_each_epoch(data: RankData) -> None:
    used = [{row for batch in rows_of(data, epoch) for row in batch} for epoch in range(40)]
    assert set.union(*used) == set(range(ROWS))
    assert len({frozenset(rows) for rows in used}) > 30


def test_an_epoch_has_the_same_order_again_and_another_one_than_its_neighbour(data: RankData) -> None:
    assert rows_of(data, 3) == rows_of(data, 3)
    assert rows_of(data, 3) != rows_of(data, 4)


def test_an_epoch_taken_up_in_the_middle_goes_on_with_the_batches_that_were_left(data: RankData) -> None:
    assert rows_of(data, 2, first=4) == rows_of(data, 2)[4:]


def test_a_batch_holds_flux_and_labels_of_its_own_rows(store: Store, data: RankData) -> None:
    flux, labels = store.read(0, ROWS), store.column("labels")
    for batch in data.epoch(1, 0, 0, 16, 2):
        np.testing.assert_array_equal(batch.flux.numpy(), flux[batch.rows])
        np.testing.assert_allclose(batch.labels.numpy(), labels[batch.rows], rtol=1e-6)  # float32 both


def test_validation_reads_all_rows_in_order(data: RankData) -> None:
    rows = [row for batch in data.in_order(64) for row in batch.rows.tolist()]
    assert rows == list(range(ROWS))


def test_a_rank_without_shards_has_no_batch(store: Store) -> None:
    nothing = RankData(store, PLAIN, [])
    assert list(nothing.in_order(16)) == []


def test_labels_are_standardised_with_the_training_statistics(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", rows=64)
    store = open_store(config.store("train"), made_by="augment")
    data = RankData(store, support.trained_on(config).scale, [0, 1])
    labels = next(data.in_order(64)).labels
    np.testing.assert_allclose(labels.mean(dim=0), 0, atol=1e-5)  # float32 labels of several thousand kelvin
    np.testing.assert_allclose(labels.std(dim=0, correction=0), 1, rtol=1e-5)
