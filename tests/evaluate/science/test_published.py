"""Benchmark stars against other published labels than the manifest's."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.evaluate.document import Grid
from starnet_hpc.evaluate.inputs import read_inputs
from starnet_hpc.evaluate.science.csvtable import read_rows
from starnet_hpc.evaluate.science.published import OWN, other_labels, read_labels
from starnet_hpc.evaluate.science.starnames import names_in, star_of
from starnet_hpc.evaluate.stage import _benchmarks
from tests.evaluate.fake_run import HIGH, LABELS, LOW, Recipe, build_run

STARS = (
    {"id": "Sun", "teff": 5771.0, "e_teff": 1.0, "logg": 4.44, "feh": 0.03},
    {"id": "eps Eri", "teff": 5076.0, "e_teff": 30.0, "logg": 4.61, "feh": -0.09},
    {"id": "HD1", "teff": 5000.0, "logg": 4.5, "feh": -0.2},
)
LATER = (
    "star,hip,teff,e_teff,logg,flag\nepsEri,16537,5130,30,4.63,x\nSUN,,5772,,4.438,y\nHD1,,5100,10,,\nother,,9,9,9,\n"
)


def test_stars_are_found_by_their_names_whatever_blanks_and_capitals(tmp_path: Path) -> None:
    (tmp_path / "v3.csv").write_text(LATER)
    truth, error = read_labels(tmp_path / "v3.csv", ["Sun", "eps Eri", "HD1", "HD2"])
    assert set(truth) == {"teff", "logg"}
    np.testing.assert_array_equal(truth["teff"], [5772.0, 5130.0, 5100.0, np.nan])
    np.testing.assert_array_equal(error["teff"], [np.nan, 30.0, 10.0, np.nan])
    assert np.isnan(error["logg"]).all()


def test_each_source_has_its_own_differences(tmp_path: Path) -> None:
    (tmp_path / "v3.csv").write_text(LATER)
    recipe = Recipe(n_test=60, templates=6, members=1, examples=False, validated=False, stars=STARS)
    config = build_run(tmp_path / "run", recipe, evaluate={"benchmark_labels": {"v3": str(tmp_path / "v3.csv")}})
    inputs = read_inputs(config)
    assert inputs.survey is not None
    stars, section = _benchmarks(inputs, inputs.survey)
    groups, every = section.blocks[-2:]
    assert isinstance(groups, Grid)
    assert isinstance(every, Grid)
    assert groups.table.distinct("source") == [OWN, "v3"]
    row = every.table.first(source="v3", id="eps Eri", label="teff")
    own = stars.first(id="eps Eri", label="teff")
    assert row is not None
    assert own is not None
    assert float(row["difference"]) == pytest.approx(float(own["difference"]) - 54.0)
    assert every.table.first(source="v3", id="HD1", label="logg") is None
    ranges = dict(zip(LABELS, zip(LOW, HIGH, strict=True), strict=True))
    assert other_labels(build_run(tmp_path / "bare", recipe), inputs.survey, (stars, stars), ranges) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,teff\nSun,5772\n", "has a column id"),
        ("id,mass\nSun,1\n", "columns of labels .* separated by commas; its columns are id, mass"),
        ("id,teff\nSun,hot\n", "line 2: teff is 'hot', expected a number"),
        ("id,teff\nSun,5772\nsun,5772\n", "line 3: sun is there twice"),
        ("star,hip,teff\nSun,,5772\nSun,16537,5772\n", "line 3: sun is there twice"),
        ("id,teff\nVega,9600\n", r"none of the survey's benchmark stars \(Sun\)"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ObservationFormatError, match=words):
        read_labels(path, ["Sun"])
    with pytest.raises(MissingInputError, match=r"no such table of published labels \(evaluate\.benchmark_labels\)"):
        read_labels(tmp_path / "none.csv", ["Sun"])


def test_all_spectra_of_a_star_have_its_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("star,teff\neps Eri,5076\n")
    truth, _ = read_labels(tmp_path / "labels.csv", ["eps Eri", "Sun", "HD 22049"])
    np.testing.assert_array_equal(truth["teff"], [5076.0, np.nan, 5076.0])


def test_a_line_that_names_two_stars_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("star,hip,teff\nSun,16537,5772\n")
    with pytest.raises(ObservationFormatError, match="line 2: is of two stars, epseri and sun"):
        read_labels(tmp_path / "labels.csv", ["Sun", "eps Eri"])


def test_the_later_release_of_the_gaia_benchmark_stars(shared: Path) -> None:
    """It has HD and HIP numbers; surveys have other names."""
    truth, error = read_labels(shared / "data/labels/gbs_v3_192.csv", ["eps Eri", "Sun", "alfBoo", "Procyon"])
    np.testing.assert_array_equal(truth["teff"], [5130.0, np.nan, 4277.0, 6582.0])
    np.testing.assert_array_equal(error["teff"], [30.0, np.nan, 23.0, 5.0])


def test_names_of_benchmark_stars_agree_with_catalogues(shared: Path) -> None:
    lines = files("starnet_hpc.evaluate.science").joinpath("benchmark_names.txt").read_text().splitlines()
    known = {name for line in lines if not line.startswith("#") for name in line.split()}
    seen = 0
    for file in ("benchmark17.csv", "gbs_v3_192.csv"):
        for _, row in read_rows(shared / "data/labels" / file, ("star", "hip"), "table"):
            names = names_in({"star": row["star"].removesuffix("(excluded)"), "hip": row["hip"]})
            if known & set(names):
                assert len({star_of(name) for name in names}) == 1, names
                seen += 1
    assert seen > 40
