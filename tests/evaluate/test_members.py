"""What the report says of the members: time, scores on validation spectra, diversity."""

import json
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.evaluate import members
from starnet_hpc.evaluate.doubts import of_members
from starnet_hpc.evaluate.inputs import Inputs, read_inputs
from starnet_hpc.evaluate.sections import training_section
from starnet_hpc.evaluate.validations import read_validations
from tests.evaluate.fake_run import LABELS, Recipe, build_run


def build(path: Path, **changes: object) -> ExperimentConfig:
    return build_run(path, Recipe(n_test=100, templates=20, examples=False, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return read_inputs(build(tmp_path_factory.mktemp("run")))


def test_time_is_shared_out_with_that_of_validation(inputs: Inputs) -> None:
    found = members.time_shares("time", "", inputs.histories)
    assert found.texts("member") == ["1", "2"], "member 0 was trained by a version that does not tell"
    for row in found.rows:
        assert row["seconds"] == pytest.approx(12 * 35.0)
        assert row["validation"] == pytest.approx(10)
        assert row["backward"] == pytest.approx(0.45 * 90)
        assert sum(float(row[part]) for part in (*members.PHASES, members.VALIDATION)) == pytest.approx(100)


def test_members_of_an_earlier_version_stand_in_the_table_with_what_they_tell(inputs: Inputs) -> None:
    tables = {table.name: table for table in training_section(inputs).tables()}
    first, second, _ = tables["members"].rows
    assert "restarts" not in first
    assert (second["restarts"], second["spectra_per_s"], second["host_gb"]) == (1, 900, 2.5)
    assert first["seconds"] == pytest.approx(12 * 31.5)


def test_scores_are_those_of_the_files(inputs: Inputs) -> None:
    found = members.scores("scores", "", inputs.validations)
    assert len(found.rows) == len(LABELS) * 4
    assert found.distinct("member") == ["0", "1", "2", "ensemble"]
    path = inputs.config.member_dir(1) / "validation.json"
    kept = json.loads(path.read_text())["labels"]["feh"]
    row = found.first(member="1", label="feh")
    assert row is not None
    assert all(row[name] == kept[name] for name in ("nll", "temperature", "coverage_68_tempered", "pit_distance"))
    # Right sigmas of 600 spectra; the ensemble's, of which a third of the own parts averages out, are too large.
    whole = found.first(member="ensemble", label="feh")
    assert whole is not None
    assert float(whole["temperature"]) < 0.9 < float(row["temperature"]) < 1.1


def test_places_of_truths_sum_to_all_of_them(inputs: Inputs) -> None:
    found = members.pit("pit", "", inputs.validations)
    for member in ("0", "ensemble"):
        assert found.where(member=member, label="teff").numbers("percent").sum() == pytest.approx(100)


def test_diversity_is_told_for_each_label_and_each_pair(inputs: Inputs) -> None:
    assert inputs.validations.diversity is not None
    each = members.diversity("each", "", inputs.validations.diversity)
    pairs = members.pairs("pairs", "", inputs.validations.diversity)
    # Half of the variance is common; what is left differs by a Gaussian of variance 1, whose mean size is sqrt(2 / pi).
    np.testing.assert_allclose(each.numbers("correlation"), 0.5, atol=0.1)
    np.testing.assert_allclose(each.numbers("distance"), np.sqrt(2 / np.pi), rtol=0.1)
    assert [(row["first"], row["second"]) for row in pairs.rows] == [(0, 1), (0, 2), (1, 2)]
    smallest = min(float(row["distance_vrad"]) for row in pairs.rows)
    row = each.first(label="vrad")
    assert row is not None
    assert row["distance_smallest"] == smallest
    assert of_members(inputs) == []


def test_members_that_are_nearly_the_same_are_a_doubt(tmp_path: Path) -> None:
    found = read_inputs(build(tmp_path, same=(0, 2)))
    (doubt,) = of_members(found)
    assert doubt.startswith("Members 0 and 2 are nearly the same")


def test_a_run_without_scores_has_a_report_without_them(tmp_path: Path) -> None:
    found = read_inputs(build(tmp_path, validated=False))
    names = {table.name for table in training_section(found).tables()}
    assert "losses" in names
    assert not {"members_pit", "members_validation"} & names


def test_scores_of_another_ensemble_are_left_aside(tmp_path: Path) -> None:
    config = build(tmp_path)
    assert read_validations(config, "all of them").diversity is not None
    found = read_validations(config, "others")
    assert found.diversity is None
    assert list(found.scores) == ["0", "1", "2"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"labels', '{"labels": 3}'])
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, text: str) -> None:
    config = build(tmp_path)
    (config.member_dir(1) / "validation.json").write_text(text)
    with pytest.raises(StoreDamagedError, match=r"01/validation\.json"):
        read_inputs(config)
