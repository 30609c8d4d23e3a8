"""Batches: whole shards for each rank, every row at most once an epoch, in an order that the key gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import ConfigError
from starnet_hpc.networks import LabelScale
from starnet_hpc.stores import Store, open_store
from starnet_hpc.train.data import RankData
from starnet_hpc.train.order import shards_of_rank, steps_per_epoch
from starnet_hpc.train.residency import Home
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


HOMES: tuple[Home, ...] = ("device", "host", "stream")


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


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("shuffle_shards", [1, 2, 16])
@pytest.mark.parametrize("size", [7, 16, 50])  # 50: over three windows of one shard
def test_a_batch_holds_flux_and_labels_of_its_own_rows_wherever_they_lie(
    store: Store, home: Home, shuffle_shards: int, size: int
) -> None:
    flux, labels = store.read(0, ROWS), store.column("labels")
    shards = [0, 1, 3, 4]
    data = RankData(store, PLAIN, shards, home=home, shuffle_shards=shuffle_shards)
    steps = data.rows.size // size
    for batches in (data.epoch(1, 0, 0, size, steps), data.epoch(1, 0, 1, size, steps, 1), data.in_order(size)):
        for batch in batches:
            assert batch.flux.numpy().tobytes() == flux[batch.rows].tobytes()
            np.testing.assert_allclose(batch.labels.numpy(), labels[batch.rows], rtol=1e-6)  # float32 both


@given(shuffle_shards=st.integers(1, 6), size=st.integers(1, 40), epoch=st.integers(0, 9), first=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_batches_are_the_same_wherever_the_spectra_lie_also_from_the_middle_of_an_epoch(
    store: Store, shuffle_shards: int, size: int, epoch: int, first: int
) -> None:
    everything = []
    for home in HOMES:
        data = RankData(store, PLAIN, range(store.layout.shards), home=home, shuffle_shards=shuffle_shards)
        steps = ROWS // size
        batches = data.epoch(7, 0, epoch, size, steps, min(first, steps))
        everything.append([(b.flux.numpy().tobytes(), b.labels.tolist(), b.rows.tolist()) for b in batches])
    assert len(everything[0]) == max(ROWS // size - first, 0)
    assert everything[0] == everything[1] == everything[2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch sees none")
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("shuffle_shards", [1, 2, 16])
def test_a_gpu_gets_the_same_batches_while_it_works_on_others(store: Store, home: Home, shuffle_shards: int) -> None:
    flux, device = store.read(0, ROWS), torch.device("cuda", 0)
    data = RankData(store, PLAIN, range(store.layout.shards), device=device, home=home, shuffle_shards=shuffle_shards)
    busy = torch.ones((2048, 2048), device=device)
    for epoch in range(3):
        kept = []
        for batch in data.epoch(1, 0, epoch, 20, 7):
            busy = busy @ busy / 2048  # the steps' stream lags behind
            kept.append((batch.flux * 1, batch.rows))
        for values, rows in kept:
            assert values.device == device
            assert values.cpu().numpy().tobytes() == flux[rows.cpu()].tobytes()


@pytest.mark.parametrize("home", HOMES)
def test_validation_reads_all_rows_in_order(store: Store, home: Home) -> None:
    data = RankData(store, PLAIN, range(store.layout.shards), home=home)
    rows = [row for batch in data.in_order(64) for row in batch.rows.tolist()]
    assert rows == list(range(ROWS))


@pytest.mark.parametrize("home", HOMES)
def test_a_rank_without_shards_has_no_batch(store: Store, home: Home) -> None:
    nothing = RankData(store, PLAIN, [], home=home)
    assert list(nothing.in_order(16)) == []


def test_labels_are_standardised_with_the_training_statistics(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run", rows=64)
    store = open_store(config.store("train"), made_by="augment")
    data = RankData(store, support.trained_on(config).scale, [0, 1])
    labels = next(data.in_order(64)).labels
    np.testing.assert_allclose(labels.mean(dim=0), 0, atol=1e-5)  # float32 labels of several thousand kelvin
    np.testing.assert_allclose(labels.std(dim=0, correction=0), 1, rtol=1e-5)
