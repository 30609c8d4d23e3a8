"""A file has arrived when two looks saw the same."""

import os
from pathlib import Path

import pytest

from starnet_hpc.errors import MissingInputError
from starnet_hpc.launch.arrivals import Arrival, Arrivals, check_folder, state_now
from starnet_hpc.observations import spectra_endings

PATIENCE_S = 10.0


def arrivals(folder: Path, observation_format: str | None = None) -> Arrivals:
    return Arrivals(folder, spectra_endings(observation_format), PATIENCE_S)


def names(found: list[Arrival]) -> list[str]:
    return [arrival.path.name for arrival in found]


def put(folder: Path, name: str, content: bytes = b"x", *, at: int = 1) -> Path:
    """Write a file whose time of change is `at` [s]."""
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def test_a_file_is_ready_when_two_looks_saw_the_same(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    path = put(tmp_path, "a.fits")
    assert names(watched.look(0.0)) == []
    assert watched.waiting == {"a.fits"}
    put(tmp_path, "a.fits", b"xy")
    assert names(watched.look(1.0)) == []
    (found,) = watched.look(2.0)
    assert (found.path, found.settled) == (path, False)


def test_a_file_that_is_done_comes_again_only_when_it_has_changed(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    put(tmp_path, "a.fits")
    watched.look(0.0)
    watched.done(*watched.look(1.0))
    assert watched.look(99.0) == []
    assert watched.waiting == set()
    put(tmp_path, "a.fits", at=2)
    assert watched.look(100.0) == []
    assert names(watched.look(101.0)) == ["a.fits"]


def test_a_file_that_was_opened_up_for_reading_comes_again(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    path = put(tmp_path, "a.fits")
    path.chmod(0o200)
    watched.look(0.0)
    watched.done(*watched.look(1.0))
    path.chmod(0o600)
    watched.look(2.0)
    assert names(watched.look(3.0)) == ["a.fits"]


def test_a_file_that_cannot_be_used_comes_again_when_patience_is_over(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    put(tmp_path, "a.fits")
    watched.look(0.0)
    watched.later(*watched.look(1.0))
    assert watched.look(PATIENCE_S - 0.1) == []
    (found,) = watched.look(PATIENCE_S)
    assert found.settled


def test_a_file_that_grows_once_more_begins_anew(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    put(tmp_path, "a.fits")
    watched.look(0.0)
    watched.later(*watched.look(1.0))
    put(tmp_path, "a.fits", b"xy")
    assert watched.look(PATIENCE_S) == []
    (found,) = watched.look(PATIENCE_S + 1.0)
    assert not found.settled


def test_files_that_go_are_forgotten(tmp_path: Path) -> None:
    watched = arrivals(tmp_path)
    path = put(tmp_path, "a.fits")
    watched.look(0.0)
    path.unlink()
    assert watched.look(1.0) == []
    assert watched.waiting == set()
    assert state_now(path) is None


def test_only_names_of_spectra_count(tmp_path: Path) -> None:
    for name in (".a.fits.Xq3b1Z", ".b.fits", "a.fits.part", "notes.txt", "A.FITS", "b.fit.gz"):
        put(tmp_path, name)
    (tmp_path / "folder.fits").mkdir()
    (tmp_path / "dangling.fits").symlink_to(tmp_path / "nowhere")
    watched = arrivals(tmp_path)
    watched.look(0.0)
    assert names(watched.look(1.0)) == ["A.FITS", "b.fit.gz"]


def test_text_files_are_spectra_if_the_format_says_so_or_there_is_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    for watched in (arrivals(tmp_path), arrivals(tmp_path, "text")):
        watched.look(0.0)
        assert names(watched.look(1.0)) == ["a.txt"]
    watched = arrivals(tmp_path, "eso")
    watched.look(0.0)
    assert watched.look(1.0) == []


def test_what_arrives_goes_before_a_backlog_and_each_in_the_order_of_its_time(tmp_path: Path) -> None:
    for name, at in (("c.fits", 3), ("b.fits", 4), ("a.fits", 5)):
        put(tmp_path, name, at=at)
    watched = arrivals(tmp_path)
    watched.look(0.0)
    put(tmp_path, "e.fits", at=6)
    put(tmp_path, "d.fits", at=7)
    watched.look(1.0)
    assert names(watched.look(2.0)) == ["e.fits", "d.fits", "c.fits", "b.fits", "a.fits"]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, "a.fits")
    with pytest.raises(MissingInputError, match="is a file; give the folder"):
        check_folder(path)
    with pytest.raises(MissingInputError, match="there is no such folder"):
        check_folder(tmp_path / "nowhere")
