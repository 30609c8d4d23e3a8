"""`evaluate` on whole run directories: what the report says, and what it refuses."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, MissingInputError, StarnetError, StoreDamagedError, StoreMismatchError
from starnet_hpc.evaluate import evaluate
from tests.evaluate.fake_run import Recipe, build_run
from tests.evaluate.html_page import Page, prose


@pytest.fixture(scope="module")
def run(reported_run: ExperimentConfig) -> ExperimentConfig:
    return reported_run


@pytest.fixture(scope="module")
def text(run: ExperimentConfig) -> str:
    return (run.run_dir / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def small_run(path: Path, **settings: object) -> ExperimentConfig:
    return build_run(path, Recipe(n_test=200, templates=20, members=2, examples=False), **settings)


def test_the_page_is_balanced_html_and_needs_nothing_from_elsewhere(text: str, page: Page) -> None:
    assert text.startswith("<!DOCTYPE html>")
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert "{{" not in text


def test_every_link_leads_somewhere(run: ExperimentConfig, page: Page) -> None:
    assert len(set(page.anchors)) == len(page.anchors)
    for link in page.links:
        assert link[1:] in page.anchors if link.startswith("#") else (run.run_dir / link).is_file(), link


def test_csv_files_and_page_have_the_same_numbers(run: ExperimentConfig, page: Page) -> None:
    compared = 0
    for name, rows in page.tables.items():
        columns = page.columns[name]
        if columns == [""]:  # benchmark stars are shown star by star
            continue
        with (run.run_dir / "report" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            written = [[row[column] for column in columns] for row in csv.DictReader(file)]
        assert [row for row in rows if row] == written
        compared += len(written)
    assert compared > 100


def test_every_figure_comes_with_its_numbers_and_a_vector_file(run: ExperimentConfig, page: Page) -> None:
    figures = [anchor.removeprefix("figure-") for anchor in page.anchors if anchor.startswith("figure-")]
    assert len(figures) == 28
    for name in figures:
        for form in ("csv", "png", "pdf"):
            assert (run.run_dir / "report" / f"{name}.{form}").stat().st_size > 0


def test_undercoverage_of_a_sigma_twice_too_small_is_in_the_verdict(text: str) -> None:
    words = prose(text)
    assert "do not trust sigma of log g and v rad." in words
    assert re.search(
        r"Undercoverage: sigma of log g is too small\. Only [34]\d % .* multiply sigma by about (1\.9|2\.\d)", words
    )
    assert "sigma of Teff is too" not in words


def test_a_label_that_the_range_does_not_give_is_named(text: str) -> None:
    words = prose(text)
    assert "[α/Fe] is not measured by this range" in words
    assert "Teff is not measured" not in words


def test_a_bias_is_named(text: str) -> None:
    words = prose(text)
    assert re.search(r"v rad comes out too high by 0\.[56]\d+ km/s", words)
    assert re.search(r"sigma of v rad is too small\. .* a bias is to blame", words)


def test_failed_rows_are_counted_in_the_verdict_and_listed(text: str, page: Page) -> None:
    assert "Without usable labels: 2 of 1,500 held-out spectra." in prose(text)
    assert "Without usable labels: 1 of 152 survey spectra." in prose(text)
    assert [row[0] for row in page.tables["test_failed_rows"] if row] == ["3", "5"]
    assert page.tables["survey_failed_rows"][1][1] == "star-00018"


def test_cuts_on_sigma_say_how_many_rows_they_removed(run: ExperimentConfig, page: Page) -> None:
    survey = Table.read(run.catalogue("survey"))
    sigma = np.asarray(survey["teff_err"].filled(np.nan), dtype=float)
    rows = [row for row in page.tables["survey_cuts"] if row]
    assert rows[1][1] == "1"
    assert int(rows[2][1]) == (sigma > 100.0).sum()
    assert rows[3][:2] == ["benchmark stars (in a chapter of their own)", "2"]
    assert rows[4][:2] == ["without any reference label", "0"]
    compared = [row for row in page.tables["survey_summary"] if row and row[0] == "teff"]
    assert rows[4][2] == compared[0][-2]


def test_benchmark_stars_outside_the_trained_range_say_so(run: ExperimentConfig, text: str) -> None:
    assert "outside trained range: Teff" in prose(text)
    with (run.run_dir / "report" / "benchmarks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["remark"] for row in rows if row["id"] == "Sun <G2V>"} == {""}
    assert {row["remark"] for row in rows if row["id"] == "alfCet"} == {"outside trained range: Teff"}


def test_names_from_files_are_escaped(text: str) -> None:
    assert "Sun &lt;G2V&gt;" in text
    assert "Sun <G2V>" not in text


def test_the_log_has_the_verdict_and_the_table(run: ExperimentConfig) -> None:
    log = (run.run_dir / "logs" / "evaluate.log").read_text(encoding="utf-8")
    assert "Undercoverage: sigma of log g" in log
    assert "median |Δ|" in log


def test_provenance_has_digests_seed_configuration_and_versions(text: str) -> None:
    words = prose(text)
    assert "Seed of the experiment: 7." in words
    assert "test_catalogue.fits" in words
    assert "numpy 2" in words
    assert "sigma_limits:" in words


@pytest.mark.usefixtures("undrawn")  # figures: test_figures.py
def test_a_second_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    first = evaluate(config).read_bytes()
    assert evaluate(config).read_bytes() == first


@pytest.mark.usefixtures("undrawn")
def test_tables_of_a_survey_that_was_dropped_are_removed(tmp_path: Path) -> None:
    config = build_run(tmp_path, Recipe(n_test=200, templates=20, n_survey=40, members=1, examples=False))
    evaluate(config)
    mine = tmp_path / "report" / "notes.csv"
    mine.write_text("mine")
    assert (tmp_path / "report" / "survey_residuals.csv").exists()
    evaluate(config.model_copy(update={"survey": None}))
    assert not (tmp_path / "report" / "survey_residuals.csv").exists()
    assert mine.exists()
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.usefixtures("undrawn")
def test_missing_examples_are_said(tmp_path: Path) -> None:
    assert "examples.npz" in prose(evaluate(small_run(tmp_path)).read_text(encoding="utf-8"))


def test_a_catalogue_where_all_failed_still_gives_a_report(tmp_path: Path) -> None:
    config = build_run(tmp_path, Recipe(n_test=60, templates=6, members=1, failed_test=tuple(range(60))))
    words = prose(evaluate(config).read_text(encoding="utf-8"))
    assert "Without usable labels: 60 of 60 held-out spectra." in words
    assert "No held-out spectrum has a usable prediction" in words
    assert "sigmas are honest" not in words


@pytest.mark.usefixtures("undrawn")
def test_a_grid_without_alpha_has_no_alpha_anywhere(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    path = config.catalogue("test")
    table = Table.read(path)
    table.remove_columns([name for name in table.colnames if name.startswith("afe")])
    table.write(path, overwrite=True)
    page = Page(evaluate(config).read_text(encoding="utf-8"))
    assert {row[0] for row in page.tables["test_summary"] if row} == {"teff", "logg", "feh", "vsini", "vrad"}


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("test_catalogue.fits", "starnet-hpc predict CONFIG"),
        ("catalogue.fits", "starnet-hpc predict CONFIG"),
        ("members/01/history.csv", "starnet-hpc ensemble CONFIG"),
        ("test.zarr/zarr.json", "starnet-hpc augment CONFIG"),
        ("survey.zarr/zarr.json", "starnet-hpc observe CONFIG"),
    ],
)
def test_a_missing_input_is_named_with_the_command_that_makes_it(tmp_path: Path, missing: str, command: str) -> None:
    config = build_run(tmp_path, Recipe(n_test=30, templates=6, n_survey=20, members=2))
    (tmp_path / missing).unlink()
    with pytest.raises(MissingInputError) as caught:
        evaluate(config)
    assert missing.split("/zarr.json")[0] in str(caught.value)
    assert command in str(caught.value)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "report.html").exists()


def change_rows(path: Path) -> None:
    Table.read(path)[:10].write(path, overwrite=True)


def change_digest(path: Path) -> None:
    table = Table.read(path)
    table.meta["INPUTDIG"] = "0" * 32
    table.write(path, overwrite=True)


def change_columns(path: Path) -> None:
    table = Table.read(path)
    table.remove_column("teff_err")
    table.write(path, overwrite=True)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (change_rows, StoreMismatchError, "10 rows"),
        (change_digest, StoreMismatchError, "INPUTDIG"),
        (change_columns, StoreDamagedError, "teff_err"),
        (cut_short, StoreDamagedError, "test_catalogue.fits"),
    ],
)
@pytest.mark.filterwarnings("ignore:File may have been truncated", "ignore:Error validating header")
def test_a_catalogue_that_does_not_belong_is_refused(
    tmp_path: Path, spoil: object, error: type[StarnetError], words: str
) -> None:
    config = small_run(tmp_path)
    assert callable(spoil)
    spoil(config.catalogue("test"))
    with pytest.raises(error) as caught:
        evaluate(config)
    assert words in str(caught.value)
    assert "starnet-hpc predict CONFIG" in str(caught.value)


def test_a_survey_in_another_order_is_refused(tmp_path: Path) -> None:
    config = build_run(tmp_path, Recipe(n_test=30, templates=6, n_survey=20, members=1))
    path = config.catalogue("survey")
    Table.read(path)[::-1].write(path, overwrite=True)
    with pytest.raises(StoreMismatchError, match="row 0"):
        evaluate(config)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sigma_limits": {"tef": 65.0}}, "'tef' is no label"),
        ({"trusted": {"mass": [0.5, 2.0]}}, "'mass' is no label"),
        ({"snr_edges": [0.0, 80.0, 30.0]}, "must increase"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small_run(tmp_path, evaluate=settings)
