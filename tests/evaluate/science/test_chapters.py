"""Chapters on stars in whole run directories: whose stars they are, and what is asked for and not there."""

from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, MissingInputError
from starnet_hpc.evaluate.document import Picture, Section
from starnet_hpc.evaluate.inputs import read_inputs
from starnet_hpc.evaluate.science import science_sections
from tests.evaluate.fake_run import Recipe, build_run
from tests.evaluate.science.test_clusters import write_isochrones


def sections(config: ExperimentConfig) -> dict[str, Section]:
    return {section.key: section for section in science_sections(read_inputs(config))}


def picture(section: Section, name: str) -> Picture:
    return next(one for one in section.pictures() if one.table.name == name)


def small(**changes: int) -> Recipe:
    return Recipe(**{"n_test": 60, "templates": 6, "members": 1, "examples": False, "validated": False, **changes})


def test_without_a_survey_stars_are_those_of_the_test_spectra(tmp_path: Path) -> None:
    found = sections(build_run(tmp_path, small()))
    assert "clusters" not in found
    kiel = picture(found["stars"], "kiel")
    assert "held-out synthetic spectra" in kiel.table.caption
    assert "60 spectra" in kiel.note
    assert picture(found["stars"], "alpha_iron").table.rows


def test_a_survey_is_shown_after_its_cuts_with_isochrones_and_clusters(tmp_path: Path) -> None:
    members = tmp_path / "members.csv"
    members.write_text("id,cluster\n" + "".join(f"star-{k:05d},M {1 + k % 2}\n" for k in range(12)))
    lines = str(write_isochrones(tmp_path / "lines.csv"))
    known = {"M 1": {"feh": -1.0, "e_feh": 0.1, "isochrone": lines}}
    settings = {
        "isochrones": [lines],
        "clusters": {"members": str(members), "known": known},
        "sigma_limits": {"teff": 100.0},
    }
    config = build_run(tmp_path / "run", small(n_survey=80), evaluate=settings)
    inputs = read_inputs(config)
    assert inputs.survey is not None
    left = int((inputs.survey.sample.predicted["teff"].sigma <= 100.0).sum())
    assert 20 < left < 80
    found = sections(config)
    kiel = picture(found["stars"], "kiel")
    assert f"{left} spectra, and {left} with reference labels" in kiel.note
    assert "isochrones (lines.csv)" in kiel.note
    (table, *_) = [one for one in found["clusters"].tables() if one.name == "clusters"]
    assert table.texts("cluster") == ["M 1", "M 2"]
    assert 0 < table.numbers("n").sum() <= 12
    for name in ("cluster_stars", "cluster_metallicities"):
        assert picture(found["clusters"], name).render()["png"].startswith(b"\x89PNG")


def test_clusters_without_a_survey_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    config = build_run(tmp_path / "a", small(), evaluate={"clusters": {"members": str(tmp_path / "m.csv")}})
    with pytest.raises(ConfigError, match=r"evaluate\.clusters needs a survey"):
        sections(config)
    config = build_run(tmp_path / "b", small(), evaluate={"isochrones": [str(tmp_path / "none.dat")]})
    with pytest.raises(MissingInputError, match=r"none\.dat: there is no such file of isochrones"):
        sections(config)
