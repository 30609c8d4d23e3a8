"""A table that grows line by line: whole after any crash, with all digits, and of one kind."""

import csv
import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import RunDirectoryBusyError, StorageFullError, StoreDamagedError, StoreMismatchError
from starnet_hpc.stores import Field, GrowingTable, growing, growing_table, one_line

FIELDS = (
    Field("id", "string", "", "name"),
    Field("teff", "float64", "K", "temperature: of the star"),
    Field("flags", "int64", "", "bits"),
)
ROWS = [{"id": "a", "teff": 5771.123456789012, "flags": 0}, {"id": 'b, "c"', "teff": math.nan, "flags": 65536}]


@contextmanager
def opened(path: Path, seen: list[dict[str, str]] | None = None, **facts: Any) -> Iterator[GrowingTable]:
    found = [] if seen is None else seen
    with growing_table(path, FIELDS, {"members": "abc", **facts}, each=found.append) as table:
        yield table


def with_rows(path: Path) -> Path:
    with opened(path) as table:
        for row in ROWS:
            table.append(row)
    return path


def test_astropy_reads_values_units_and_facts(tmp_path: Path) -> None:
    table = Table.read(with_rows(tmp_path / "t.ecsv"))
    assert table["id"].tolist() == ["a", 'b, "c"']
    assert table["teff"][0] == ROWS[0]["teff"]
    assert math.isnan(table["teff"][1])
    assert table["flags"].tolist() == [0, 65536]
    assert (table["teff"].unit, table["teff"].description) == ("K", "temperature: of the star")
    assert table.meta == {"members": "abc"}


def test_an_opened_table_tells_its_rows_and_goes_on_below_them(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "t.ecsv")
    seen: list[dict[str, str]] = []
    with opened(path, seen) as table:
        assert [row["id"] for row in seen] == ["a", 'b, "c"']
        assert table.torn == 0
        table.append({"id": "d", "teff": 1.0, "flags": 1})
    assert Table.read(path)["flags"].tolist() == [0, 65536, 1]


def test_a_line_torn_anywhere_is_taken_away_and_the_others_stay(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "t.ecsv")
    whole = path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for cut in range(last + 1, len(whole)):
        for tail in (b"", b"\0" * 7):  # a power cut can leave zeros where a line should have come
            path.write_bytes(whole[:cut] + tail)
            with opened(path) as table:
                assert table.torn == cut - last + len(tail)
                table.append(ROWS[1])
            assert path.read_bytes() == whole


def test_a_table_of_others_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "t.ecsv")
    whole = path.read_bytes()
    with pytest.raises(StoreMismatchError, match=r"t\.ecsv: was begun with other members"), opened(path, members="d"):
        pass
    path.write_bytes(b"")
    with pytest.raises(StoreMismatchError), opened(path):
        pass
    path.write_bytes(whole.replace(b'"a",', b""))
    with pytest.raises(StoreDamagedError, match=r"line 11 has 2 values, expected 3"), opened(path):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "t.ecsv")
    with opened(path), pytest.raises(RunDirectoryBusyError), opened(path):
        pass


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_leaves_the_rows_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = with_rows(tmp_path / "t.ecsv")
    whole, write = path.read_bytes(), os.write
    told: list[int] = []

    def full(descriptor: int, data: Any = b"") -> int:
        if failing == "fsync" or told:
            raise OSError(errno.ENOSPC, "No space left on device")
        told.append(write(descriptor, bytes(data)[:5]))  # a few bytes still fit
        return told[0]

    with opened(path) as table:
        monkeypatch.setattr(growing.os, failing, full)
        with pytest.raises(StorageFullError, match=r"t\.ecsv: no space left"):
            table.append(ROWS[0])
        monkeypatch.undo()
        assert path.read_bytes() == whole
        table.append(ROWS[0])
    assert len(Table.read(path)) == 3


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(codec=None)), value=st.floats(allow_nan=False))
def test_any_text_is_one_line_and_any_number_keeps_its_digits(
    tmp_path_factory: pytest.TempPathFactory, text: str, value: float
) -> None:
    path = tmp_path_factory.mktemp("any") / "t.ecsv"
    with opened(path) as table:
        before = path.read_bytes().count(b"\n")
        table.append({"id": text, "teff": value, "flags": -1})
    assert path.read_bytes().count(b"\n") == before + 1
    (cells,) = csv.reader([path.read_text(encoding="utf-8").splitlines()[-1]])
    assert cells == [one_line(text), repr(value), "-1"]
