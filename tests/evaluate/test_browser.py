"""The report in a real browser, on a desk and on a phone; without a browser, `test_stage.py` reads the same page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import compare_runs
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import training
from tests.evaluate.browser import Browser, Tab, headless
from tests.evaluate.fake_run import Recipe, build_run
from tests.evaluate.test_figures import losses

DESK, PHONE = 1300, 400
VALUES = "[...document.querySelectorAll('table[data-name=test_residuals] tbody tr')].map(r => r.cells[6].dataset.value)"
HEAD = "table[data-name=test_residuals] th:nth-child(7) button"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with headless(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def report(reported_run: ExperimentConfig) -> Path:
    return reported_run.run_dir / "report.html"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs side by side; all figures are one, since drawing them takes most of the time (test_figures.py)."""
    folder = tmp_path_factory.mktemp("pair")
    recipe = Recipe(n_test=200, templates=20, n_survey=40, members=2, examples=False)
    first, second = (build_run(folder / name, recipe, name=name) for name in ("narrow", "a_wide_one_with_a_long_name"))
    drawn = Picture(losses([0.5, -0.5]), training.losses).render()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Picture, "render", lambda _: drawn)
        return compare_runs(first, second)


def is_whole(tab: Tab, page: Path, width: int, images: int) -> None:
    """Check that a page shows all it has, in its window, and asks nobody for anything."""
    assert tab.complaints() == []
    assert [url for url in tab.requests() if not url.startswith("data:")] == [page.as_uri()]
    assert tab.tell("window.innerWidth") == width
    assert tab.tell("document.images.length") >= images
    assert tab.tell("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    # What is wider than the window scrolls in its own box.
    assert tab.tell("document.documentElement.scrollWidth") == tab.tell("document.documentElement.clientWidth")
    inside = "[...document.querySelectorAll('h2, p, li')].every(it => it.getBoundingClientRect().right <= innerWidth)"
    assert tab.tell(inside)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_is_whole_and_asks_for_nothing_from_elsewhere(browser: Browser, report: Path, width: int) -> None:
    is_whole(Tab(browser, report, width), report, width, 15)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_so_is_the_page_of_two_runs(browser: Browser, comparison: Path, width: int) -> None:
    is_whole(Tab(browser, comparison, width), comparison, width, 4)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_links_stay_in_sight_and_tell_which_chapter_is_read(browser: Browser, report: Path, width: int) -> None:
    tab = Tab(browser, report, width)
    tab.click("nav a[href='#provenance']") if width == DESK else tab.tell("location.hash = '#provenance'")
    two_frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
    tab.tell(two_frames)
    assert tab.tell("document.querySelector('nav').getBoundingClientRect().top") == 0
    assert tab.tell("document.querySelector('nav a[aria-current]').hash") in {"#provenance", "#rows"}  # a short chapter
    assert tab.tell(
        "(() => { const at = document.querySelector('nav a[aria-current]').getBoundingClientRect();"
        " return at.left >= 0 && at.right <= innerWidth; })()"
    )


def test_a_click_on_a_heading_sorts_values_with_errors_as_numbers(browser: Browser, report: Path) -> None:
    tab = Tab(browser, report, DESK)
    written = tab.tell(VALUES)
    tab.click(HEAD)
    ascending = tab.tell(VALUES)
    assert ascending == sorted(written, key=float)
    assert ascending != sorted(written)  # as text they have another order
    tab.click(HEAD)
    assert tab.tell(VALUES) == ascending[::-1]
    assert tab.tell(f"document.querySelector('{HEAD}').parentNode.ariaSort") == "descending"
    tab.click(HEAD)
    assert tab.tell(VALUES) == written


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_figure_is_enlarged_by_a_click_and_closed_by_escape(browser: Browser, report: Path, width: int) -> None:
    tab = Tab(browser, report, width)
    is_open = "document.querySelector('dialog').open"
    assert not tab.tell(is_open)
    tab.click("figure img")
    assert tab.tell(is_open)
    assert tab.tell("document.querySelector('dialog img').src === document.querySelector('figure img').src")
    tab.press("Escape")
    assert not tab.tell(is_open)
    tab.tell("document.querySelectorAll('figure img')[1].focus()")
    tab.press("Enter")
    assert tab.tell(is_open)
    tab.click("dialog button")
    assert not tab.tell(is_open)


def test_the_page_can_be_read_where_scripts_do_not_run(browser: Browser, report: Path) -> None:
    tab = Tab(browser, report, PHONE, scripts=False)
    tree = tab.send("DOM.getDocument", depth=0)["root"]["nodeId"]

    def count(selector: str) -> int:
        return len(tab.send("DOM.querySelectorAll", nodeId=tree, selector=selector)["nodeIds"])

    assert count("th button") == 0  # nothing that would not work
    assert count("nav a") > 5
    assert tab.send("Page.getLayoutMetrics")["cssContentSize"]["width"] == PHONE


def test_on_paper_nothing_is_folded_away_and_there_are_no_links(browser: Browser, report: Path) -> None:
    tab = Tab(browser, report, DESK)
    shown = "document.querySelector('details > :not(summary)').checkVisibility({contentVisibilityAuto: true})"
    assert not tab.tell(shown)
    tab.send("Emulation.setEmulatedMedia", media="print")
    assert tab.tell("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.tell(shown)
    printed = tab.send("Page.printToPDF", transferMode="ReturnAsStream")
    start = tab.send("IO.read", handle=printed["stream"], size=8)
    assert start["base64Encoded"]
