"""Folders with very many files, and those that nobody may read."""

import os
import time
from pathlib import Path

import pytest

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import reader_for
from starnet_hpc.grids.folders import listed_files


def test_a_folder_of_100_000_files_is_listed_without_asking_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names come in a few system calls; a call for each file would take minutes on a parallel file system."""

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

        def is_dir(self) -> bool:
            return False

    class Entries(list[Entry]):
        def __enter__(self) -> "Entries":
            return self

        def __exit__(self, *_: object) -> None: ...

    many = Entries(Entry(f"p{number:06d}.AMBRE") for number in reversed(range(100_000)))
    monkeypatch.setattr(os, "scandir", lambda folder: many)
    monkeypatch.setattr(Path, "stat", lambda *_: pytest.fail("a file was asked"))
    start = time.process_time()
    sources = reader_for("ambre").sources(tmp_path)
    assert time.process_time() - start < 10.0  # 0.5 s
    assert len(sources) == 100_000
    assert [sources[0].name, sources[-1].name] == ["p000000.AMBRE", "p099999.AMBRE"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(folder: Path) -> None:  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(GridFormatError, match="permission denied; ask its owner"):
        listed_files(tmp_path, lambda name: True, "file", GridFormatError, "grid.path")


@pytest.mark.parametrize("name", ["phoenix", "ambre", "ferre", "mpia_nlte", "mpia_lte"])
def test_every_reader_says_what_it_looked_for(name: str, tmp_path: Path) -> None:
    reader = reader_for(name)
    with pytest.raises(MissingInputError, match=r"grid.path: there is no folder .*nowhere"):
        reader.sources(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(MissingInputError, match=r"holds no .* among 1 entries"):
        reader.sources(tmp_path)
    with pytest.raises(MissingInputError, match=r"is a file; set grid\.path"):
        reader.sources(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["a.AMBRE", "a.spec", "a_N"])
def test_permission_denied_is_said(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = name.replace("a.AMBRE", "p5000:g+4.0:m0.0:t01:z-0.50:a+0.20.AMBRE")
    name = name.replace("a.spec", "M_s5500g1.5z0.0t1.0_a0.00.spec")
    (tmp_path / name).write_text("5000 1\n")
    reader = reader_for("mpia_nlte" if name == "a_N" else "ambre")
    (source,) = reader.sources(tmp_path)
    opened = Path.open

    def denied(self: Path, *arguments: object, **options: object) -> object:  # root may read everything
        if self == source.path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(GridFormatError, match="permission denied; make it readable"):
        reader.read(source)
