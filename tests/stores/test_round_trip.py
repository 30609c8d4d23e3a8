"""What is written by whole shards reads back, whatever its shape."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from starnet_hpc.errors import StarnetError
from starnet_hpc.stores import Layout, checked, write_shard
from tests.stores.cases import LAYOUT, build, fluxes, read

layouts = st.builds(
    Layout,
    rows=st.integers(1, 70),
    pixels=st.integers(1, 50),
    shard_rows=st.integers(1, 40),
    dtype=st.sampled_from(["float16", "float32"]),
    mapped=st.booleans(),
)


@st.composite
def layouts_with_flux(draw: st.DrawFn) -> tuple[Layout, Any]:
    layout = draw(layouts)
    width = 16 if layout.dtype == "float16" else 32
    values = arrays.arrays(
        layout.dtype,
        (layout.rows, layout.pixels),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=width),
        fill=st.floats(0, 2, width=width),
    )
    return layout, draw(values)


@contextmanager
def new_store() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "train.zarr"


@settings(max_examples=25, deadline=None)
@given(case=layouts_with_flux())
def test_any_store_reads_back_bit_by_bit(case: tuple[Layout, Any]) -> None:
    layout, flux = case
    with new_store() as path:
        written = build(path, layout, flux=flux)
        store = read(path)
        assert written == list(range(layout.shards))
        assert store.layout == layout
        assert len(store) == layout.rows
        # Zeros keep their sign and subnormal numbers their bits: the bytes are compared, not the values.
        assert store.read(0, layout.rows).tobytes() == flux.tobytes()
        for shard in range(layout.shards):
            assert (path / "flux" / "c" / str(shard) / "0").stat().st_size == layout.bytes_of(shard)
        if layout.mapped:
            rows = store.mapped_rows()
            for row in (0, layout.rows // 2, layout.rows - 1):
                assert rows[row].tobytes() == store.read(row, row + 1).tobytes()


@settings(max_examples=25, deadline=None)
@given(case=layouts_with_flux())
def test_shard_files_are_those_of_zarrs_own_writer(case: tuple[Layout, Any]) -> None:
    layout, flux = case
    with new_store() as ours, new_store() as theirs:
        build(ours, layout, flux=flux)
        build(theirs, layout, flux=flux)
        array = zarr.open_array(theirs / "flux", mode="r+").with_config({"write_empty_chunks": True})
        array[...] = np.zeros_like(flux)
        for shard in range(layout.shards):
            file = Path("flux") / "c" / str(shard) / "0"
            (theirs / file).unlink()
            rows = layout.rows_of(shard)
            array[rows.start : rows.stop] = flux[rows.start : rows.stop]
            assert (ours / file).read_bytes() == (theirs / file).read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.endswith("\0")),
        min_size=1,
        max_size=20,
    )
)
def test_text_columns_hold_any_unicode(names: list[str]) -> None:
    layout = Layout(len(names), 3, 7)
    with new_store() as path:
        build(path, layout, columns={"id": np.array(names, dtype=np.str_)})
        assert read(path).column("id").tolist() == names


def test_single_rows_are_those_that_zarr_reads_with_more_files_than_a_process_keeps_open(tmp_path: Path) -> None:
    layout = Layout(rows=700, pixels=5, shard_rows=2, mapped=True)
    build(tmp_path / "grid.zarr", layout)
    store, order = read(tmp_path / "grid.zarr"), np.random.default_rng(2).permutation(700)
    rows = store.mapped_rows()
    flux = store.read(0, 700)
    assert all(np.array_equal(rows[int(row)], flux[row]) for row in order)


def test_single_rows_are_not_for_sharded_stores(tmp_path: Path) -> None:
    build(tmp_path / "train.zarr")
    with pytest.raises(ValueError, match="not laid out for reading single rows"):
        read(tmp_path / "train.zarr").mapped_rows()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_flux_that_is_not_finite_is_refused_by_row(tmp_path: Path, bad: float) -> None:
    flux = fluxes(LAYOUT)
    flux[21, 7] = bad
    with pytest.raises(StarnetError, match=r"train\.zarr, row 21: the flux is not finite"):
        build(tmp_path / "train.zarr", flux=flux)
    assert build(tmp_path / "train.zarr") == [1, 2, 3]


def test_of_all_bits_of_a_half_those_of_numbers_pass() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for half in halves[np.isfinite(halves)]:
        checked(Path("train.zarr"), 0, half.reshape(1))
    for half in halves[~np.isfinite(halves)]:
        with pytest.raises(StarnetError, match="not finite"):
            checked(Path("train.zarr"), 0, half.reshape(1))


def test_checksums_that_are_known_already_change_nothing(tmp_path: Path) -> None:
    flux, facts = fluxes(LAYOUT)[:16], {"shard": 0}
    digests = []
    for name, checksums in (("asked", None), ("told", [checked(tmp_path, k, flux[k]) for k in range(16)])):
        build(tmp_path / f"{name}.zarr", at_most=0)
        digests.append(write_shard(tmp_path / f"{name}.zarr", LAYOUT, "recipe", 0, flux, facts, checksums))
    assert digests[0] == digests[1]
    asked, told = ((tmp_path / f"{name}.zarr" / "flux" / "c" / "0" / "0").read_bytes() for name in ("asked", "told"))
    assert asked == told
