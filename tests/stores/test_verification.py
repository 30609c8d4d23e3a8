"""A damaged byte is found, named and mended."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import StoreIncompleteError
from starnet_hpc.stores import Damage, Layout, check_columns, check_shards, discard_damaged, unfinished_shards
from tests.stores.cases import LAYOUT, build, fluxes, read

SHARDED = Layout(rows=48, pixels=10, shard_rows=16, dtype="float16")
MAPPED = Layout(rows=48, pixels=10, shard_rows=16, mapped=True)


def damages(path: Path) -> list[Damage]:
    return [check.damage for check in check_shards(path) if check.damage] + check_columns(path)


def shard_file(path: Path, shard: int) -> Path:
    return path / "flux" / "c" / str(shard) / "0"


def column_file(path: Path, column: str) -> Path:
    """Return the one file that holds a column's values."""
    (file,) = (file for file in (path / column / "c").rglob("*") if file.is_file())
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.zarr"


def test_an_undamaged_store_passes_with_the_range_of_its_fluxes(path: Path) -> None:
    build(path)
    flux = fluxes(LAYOUT)
    checks = list(check_shards(path))
    assert [check.rows for check in checks] == [LAYOUT.rows_of(shard) for shard in range(4)]
    assert min(check.flux_range[0] for check in checks) == flux.min()
    assert max(check.flux_range[1] for check in checks) == flux.max()
    assert damages(path) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from([SHARDED, MAPPED]),
    shard=st.integers(0, 2),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_of_a_shard_is_found_in_that_shard(
    tmp_path: Path, layout: Layout, shard: int, place: float, bit: int
) -> None:
    path = tmp_path / f"{layout.dtype}.zarr"
    build(path, layout)
    file = shard_file(path, shard)
    before = file.read_bytes()
    changed = bytearray(before)
    changed[int(place * len(before))] ^= 1 << bit
    file.write_bytes(changed)
    found = damages(path)
    file.write_bytes(before)
    assert [(damage.shard, damage.rows) for damage in found] == [(shard, layout.rows_of(shard))]
    assert damages(path) == []


@pytest.mark.parametrize("left", [0, 1, 700])
def test_a_truncated_shard_is_named_with_its_rows_and_bytes(path: Path, left: int) -> None:
    build(path)
    file = shard_file(path, 2)
    file.write_bytes(file.read_bytes()[:left])
    assert [str(damage) for damage in damages(path)] == [
        f"{path}: shard 2 (rows 32 to 47) has {left} bytes instead of {LAYOUT.bytes_of(2)}"
    ]


def test_lost_files_and_markers_are_damage(path: Path) -> None:
    build(path)
    shard_file(path, 0).unlink()
    (path.with_suffix(".markers") / "shard-000003.json").write_text("{}")
    assert [str(damage).partition(") ")[2] for damage in damages(path)] == [
        "has lost its file",
        "has no marker, so that its content cannot be checked",
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(["labels", "wavelength", "draws/snr", "id"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    truncated=st.booleans(),
)
def test_damage_to_a_column_never_goes_unseen(
    tmp_path: Path, column: str, place: float, bit: int, truncated: bool
) -> None:
    path = tmp_path / "train.zarr"
    flux = fluxes(LAYOUT)
    columns = {"labels": flux[:, :2], "draws/snr": flux[:, 3], "id": flux[:, 4].astype("U")}
    build(path, columns=columns)
    file = column_file(path, column)
    before = file.read_bytes()
    changed = bytearray(before)
    changed[int(place * len(before))] ^= 1 << bit
    file.write_bytes(changed[: int(place * len(before))] if truncated else changed)
    found = check_columns(path)
    values = read(path).column(column).tolist() if not found else None
    file.write_bytes(before)
    # A compressed column may decode to the same values in spite of a flipped bit, which then harms nobody.
    assert [damage.what for damage in found] == [f"column {column} is not what was written"] or (
        values == read(path).column(column).tolist()
    )


def test_only_damaged_shards_are_made_anew_and_the_content_is_the_same(path: Path) -> None:
    build(path)
    before, digest = shard_file(path, 0).stat().st_mtime_ns, read(path).content_digest
    content = bytearray(shard_file(path, 2).read_bytes())
    content[100] ^= 1
    shard_file(path, 2).write_bytes(content)
    discard_damaged(path, damages(path))
    with pytest.raises(StoreIncompleteError, match="3 of 4 shards"):
        read(path)
    assert unfinished_shards(path) == [2]
    assert build(path) == [2]
    assert damages(path) == []
    assert read(path).content_digest == digest
    assert shard_file(path, 0).stat().st_mtime_ns == before


def test_a_damaged_column_is_written_anew_by_the_next_build(path: Path) -> None:
    build(path)
    labels = read(path).column("labels")
    column_file(path, "labels").write_bytes(b"nonsense")
    discard_damaged(path, damages(path))
    assert build(path) == []
    assert read(path).column("labels").tolist() == labels.tolist()
    assert damages(path) == []


def test_what_an_unfinished_store_has_is_checked_and_what_it_lacks_is_no_damage(path: Path) -> None:
    build(path, at_most=2)
    assert [check.shard for check in check_shards(path)] == [0, 1]
    assert damages(path) == []
    assert unfinished_shards(path) == [2, 3]
