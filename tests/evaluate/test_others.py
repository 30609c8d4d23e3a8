"""Test spectra of other grids: what the report says of sigmas that grow, and of those that do not."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, MissingInputError, StoreMismatchError
from starnet_hpc.evaluate import doubts, evaluate, growth
from starnet_hpc.evaluate.inputs import read_inputs
from starnet_hpc.evaluate.others import others_table
from tests.evaluate.fake_run import LABELS, Recipe, build_run, draw, write_catalogue, write_store

WORSE = dict.fromkeys(LABELS, 3.0)


def other_grid(folder: Path, config: ExperimentConfig, name: str, recipe: Recipe, *, key: int = 11) -> None:
    """Write the store of another grid, and this run's predictions of it."""
    rows = draw(recipe, recipe.n_test, key=key)
    write_store(folder / f"{name}.zarr", recipe.n_test, recipe, rows.columns(), {"label_names": list(LABELS)})
    write_catalogue(config.catalogue(name), recipe, rows, (), key=key)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, undrawn_module: None) -> ExperimentConfig:
    """The same errors, three times as large, once with sigmas that grow with them and once with the old sigmas."""
    folder = tmp_path_factory.mktemp("others")
    paths = {name: str(folder / f"{name}.zarr") for name in ("honest", "blind")}
    config = build_run(folder / "run", Recipe(), predict={"other_tests": paths})
    other_grid(folder, config, "honest", replace(Recipe(), worse=WORSE))
    other_grid(folder, config, "blind", replace(Recipe(), worse=WORSE, scale=dict.fromkeys(LABELS, 1 / 3)))
    evaluate(config)
    return config


@pytest.fixture(scope="module")
def table(run: ExperimentConfig) -> list[dict[str, str]]:
    with (run.run_dir / "report" / "other_tests.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], grid: str, name: str) -> np.ndarray:
    rows = [row for row in table if row["grid"] == grid and row["where"] != "outside"]
    assert [row["label"] for row in rows] == list(LABELS)
    return np.array([float(row[name]) for row in rows])


def test_residuals_that_triple_are_told(table: list[dict[str, str]]) -> None:
    for grid in ("honest", "blind"):
        # Medians of 1,500 spectra of 120 templates, with equal S/N: a few per cent of chance.
        np.testing.assert_allclose(column(table, grid, "residual_ratio"), 3.0, rtol=0.2)


def test_whether_sigma_grows_is_told_beside_it(table: list[dict[str, str]]) -> None:
    np.testing.assert_allclose(column(table, "honest", "sigma_ratio"), 3.0, rtol=0.1)
    np.testing.assert_allclose(column(table, "blind", "sigma_ratio"), 1.0, rtol=0.1)
    np.testing.assert_allclose(column(table, "honest", "coverage_68"), 68.3, atol=5.0)
    assert (column(table, "blind", "coverage_68") < 35).all()  # within a third of sigma: 26 %


def test_sigma_that_does_not_grow_is_in_the_verdict(run: ExperimentConfig) -> None:
    told = doubts.of_others(others_table(read_inputs(run)))
    assert all("blind" in text for text in told)
    assert told[0].startswith(
        "On spectra of another grid (blind, inside the trained range) sigma is too small: one sigma"
    )
    assert "% for v sin i" in told[0]
    page = (run.run_dir / "report.html").read_text(encoding="utf-8")
    assert "On spectra of another grid (blind" in page


def test_sigma_is_shown_against_truth_and_residual_of_each_grid(run: ExperimentConfig) -> None:
    inputs = read_inputs(run)
    found = growth.picture(inputs)
    for grid, test in {growth.OWN: inputs.test, **inputs.others}.items():
        sample = test.sample
        rows = found.table.where(grid=grid, label="teff", against=growth.TRUTH)
        assert rows.numbers("n").sum() == sample.usable("teff").sum() == 1500
        low, high = (float(rows.rows[2][key]) for key in ("low", "high"))
        inside = (sample.truth["teff"] >= low) & (sample.truth["teff"] < high)
        assert rows.rows[2]["sigma"] == np.median(sample.predicted["teff"].sigma[inside])
        rows = found.table.where(grid=grid, label="teff", against=growth.RESIDUAL)
        residual = sample.predicted["teff"].value - sample.truth["teff"]
        inside = residual < float(rows.rows[0]["high"])
        assert rows.rows[0]["n"] == inside.sum() == 125
        assert rows.rows[0]["sigma"] == np.median(sample.predicted["teff"].sigma[inside])


def test_the_figure_of_sigma_has_the_trained_range_and_every_grid(run: ExperimentConfig) -> None:
    inputs = read_inputs(run)
    found = growth.picture(inputs)
    drawn = found.draw(found.table)
    truth, residual = drawn.axes[:2]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [growth.OWN, "honest", "blind"]
    ends = [line.get_xdata()[0] for line in truth.lines if line.get_linestyle() == "--"]
    assert ends == [inputs.training.low["teff"], inputs.training.high["teff"]]
    # Nothing is cut off, in the panel of residuals neither.
    assert residual.get_ylim()[1] > found.table.where(label="teff").numbers("sigma").max()


def test_spectra_outside_the_trained_range_are_counted_apart(tmp_path: Path) -> None:
    config = build_run(tmp_path / "run", Recipe(), predict={"other_tests": {"wide": str(tmp_path / "wide.zarr")}})
    recipe = Recipe(n_test=300, templates=60)
    rows = draw(recipe, 300, key=13)
    rows.labels[:100, 0] = 8000.0
    write_store(tmp_path / "wide.zarr", 300, recipe, rows.columns(), {"label_names": list(LABELS)})
    write_catalogue(config.catalogue("wide"), recipe, rows, (), key=13)
    inputs = read_inputs(config)
    counts = {str(row["where"]): int(row["n"]) for row in others_table(inputs).where(grid="wide").rows}
    assert counts["outside"] >= 100
    assert sum(counts.values()) == 300
    # The figure has them beyond the dashed lines.
    beyond = growth.picture(inputs).table.where(grid="wide", label="teff", against=growth.TRUTH)
    far = beyond.only(lambda row: float(row["low"]) > float(row["trained_high"]))
    assert far.numbers("n").sum() == 100
    assert (far.numbers("centre") == 8000.0).all()


def test_a_store_that_was_not_predicted_is_asked_for(tmp_path: Path) -> None:
    config = build_run(tmp_path / "run", Recipe(), predict={"other_tests": {"else": str(tmp_path / "else.zarr")}})
    with pytest.raises(MissingInputError, match="starnet-hpc augment"):
        evaluate(config)
    other_grid(tmp_path, config, "else", Recipe(n_test=50, templates=10))
    config.catalogue("else").unlink()
    with pytest.raises(MissingInputError, match="starnet-hpc predict"):
        evaluate(config)


def test_predictions_of_another_state_of_the_store_are_refused(tmp_path: Path) -> None:
    config = build_run(tmp_path / "run", Recipe(), predict={"other_tests": {"else": str(tmp_path / "else.zarr")}})
    other_grid(tmp_path, config, "else", Recipe(n_test=50, templates=10))
    rows = draw(Recipe(), 60, key=14)
    write_catalogue(config.catalogue("else"), Recipe(), rows, (), key=14)
    with pytest.raises(StoreMismatchError, match="60 rows"):
        evaluate(config)


@pytest.mark.parametrize("name", ["survey", "train", "a/b", ""])
def test_names_that_would_hide_a_file_of_the_run_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="other_tests"):
        build_run(tmp_path / "run", Recipe(), predict={"other_tests": {name: str(tmp_path / "x.zarr")}})
