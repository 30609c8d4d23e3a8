"""What the report says of velocities by cross-correlation, and of networks that see spectra at rest."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import evaluate
from starnet_hpc.evaluate.inputs import read_inputs
from starnet_hpc.evaluate.velocities import velocities_section
from starnet_hpc.stores import write_atomically
from tests.evaluate.fake_run import LABELS, Recipe, Rows, build_run, draw, generator, write_catalogue, write_store

ALONE = replace(Recipe(), worse=dict.fromkeys(LABELS, 2.0))
CCF_SIGMA = 0.3


def wide(count: int) -> Rows:
    """Return rows whose velocities go to 150 km/s."""
    rows = draw(Recipe(), count, key=21)
    rows.labels[:, 5] *= 75.0
    return rows


def add_shift(path: Path, rows: Rows, key: int) -> None:
    """Add velocities by cross-correlation, of known error, to a catalogue."""
    found = Table.read(path)
    found["vrad_ccf"] = rows.labels[:, 5] + CCF_SIGMA * generator(key, 9).standard_normal(len(rows.labels))
    found["vrad_ccf_err"] = np.full(len(rows.labels), CCF_SIGMA)
    write_atomically(path, lambda file: found.write(file, format="fits"))


def shifted_run(folder: Path, *, maker: bool = True) -> ExperimentConfig:
    """Return a run near rest, its catalogue of another run's spectra, and, if there is a maker, that one's own."""
    path = folder / "maker" / "test.zarr"
    config = build_run(
        folder / "run",
        Recipe(),
        augment={"vrad_max": 2.0},
        predict={"radial_velocity": "ccf", "velocity_limit": 400.0, "other_tests": {"wide": str(path)}},
    )
    rows = wide(Recipe().n_test)
    path.parent.mkdir()
    write_store(path, len(rows.labels), Recipe(), rows.columns(), {"label_names": list(LABELS)})
    write_catalogue(config.catalogue("wide"), Recipe(), rows, (), key=22)
    if maker:
        write_catalogue(path.with_name("test_catalogue.fits"), ALONE, rows, (), key=23)
    for name, of in (("wide", rows), ("test", draw(Recipe(), Recipe().n_test, key=2))):
        add_shift(config.catalogue(name), of, key=24)
    return config


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, undrawn_module: None) -> Path:
    config = shifted_run(tmp_path_factory.mktemp("velocities"))
    evaluate(config)
    return config.run_dir


def table(report: Path, name: str) -> list[dict[str, str]]:
    with (report / "report" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_velocity_first_gains_is_told_for_each_label(report: Path) -> None:
    rows = [row for row in table(report, "velocity_first") if row["snr"] == "all"]
    assert [row["label"] for row in rows] == list(LABELS)
    # Medians of 1,500 absolute values each: known to 3 %.
    np.testing.assert_allclose([float(row["ratio"]) for row in rows], 0.5, rtol=0.15)
    assert {row["n"] for row in rows} == {"1500"}


def test_errors_of_cross_correlation_are_held_against_the_truth(report: Path) -> None:
    for row in (row for row in table(report, "velocities") if row["snr"] == "all"):
        assert row["spectra"] in {"held out", "wide"}
        assert float(row["median_absolute"]) == pytest.approx(0.6745 * CCF_SIGMA, rel=0.1)
        assert float(row["coverage_68"]) == pytest.approx(68.3, abs=4)


def test_a_velocity_is_no_reason_to_be_outside_the_trained_range(report: Path) -> None:
    counts = {row["where"]: int(row["n"]) for row in table(report, "other_tests") if row["grid"] == "wide"}
    assert counts["inside"] > 0.8 * Recipe().n_test  # the others are beyond the outermost of 120 training templates
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "are not found, and labels of such spectra mean nothing" in page
    assert "must be shifted first" not in page


def test_spectra_whose_run_has_not_predicted_them_are_not_compared(tmp_path: Path) -> None:
    inputs = read_inputs(shifted_run(tmp_path, maker=False))
    assert not inputs.makers
    assert [shown.name for shown in velocities_section(inputs).tables()] == ["velocities"]


def test_runs_of_networks_alone_have_no_such_chapter(tmp_path: Path) -> None:
    config = build_run(tmp_path / "run", Recipe(n_test=200, templates=20))
    assert not read_inputs(config).shifted
