"""The how-to pages, in the order and the folder in which a newcomer follows them."""

from pathlib import Path

import pytest

from tests.pages import run_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("howto")


@pytest.mark.parametrize(("page", "commands"), [("howto_grid.md", 2), ("howto_instrument.md", 4)])
def test_a_page_does_what_it_says_where_the_pages_before_have_left_off(
    folder: Path, page: str, commands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert run_page(page, folder) == commands
