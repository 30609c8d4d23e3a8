"""The synthetic gap: 50 % where there is none, 100 % where it is wide, and nothing where it cannot be told."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.evaluate import gap
from starnet_hpc.evaluate.document import Text
from starnet_hpc.evaluate.gap import (
    AUGMENTED,
    OBSERVED,
    RAW,
    SYNTHETIC,
    accuracy,
    alike,
    gap_section,
    pair,
    principal_components,
)
from starnet_hpc.evaluate.inputs import Inputs, Survey, read_inputs
from starnet_hpc.evaluate.templates import TemplateView
from starnet_hpc.kernels.random import stream
from tests.evaluate.fake_run import Recipe, build_run
from tests.evaluate.test_grids import nodes, write_grid

KEY = stream(7, "test")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    recipe = Recipe(n_test=400, templates=40, n_survey=90, members=1, examples=False, failed_survey=(3, 8))
    config = build_run(tmp_path_factory.mktemp("gap"), recipe)
    write_grid(config.store("grid"), nodes())
    return read_inputs(config)


def survey(inputs: Inputs) -> Survey:
    assert inputs.survey is not None
    return inputs.survey


def spectra(seed: int, count: int = 300, pixels: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lines = rng.uniform(0.0, 1.0, (count, 3)) @ np.exp(-0.5 * (np.arange(pixels) / 5.0 - [[8], [20], [33]]) ** 2)
    return np.asarray(1.0 - 0.6 * lines + 0.02 * rng.standard_normal((count, pixels)), dtype=np.float32)


def test_two_samples_of_the_same_kind_are_not_told_apart() -> None:
    found = accuracy(principal_components(np.concatenate([spectra(1), spectra(2)]), KEY), KEY)
    assert abs(found.value - 50.0) < 3.0 * found.error
    assert 1.5 < found.error < 4.0  # binomial, of 600: 2.0


def test_partners_that_are_nearly_the_same_do_not_make_it_worse_than_guessing() -> None:
    first = spectra(1)
    second = first + 0.01 * spectra(2) * np.random.default_rng(3).standard_normal(first.shape).astype(np.float32)
    found = accuracy(principal_components(np.concatenate([first, second]), KEY), KEY)
    assert abs(found.value - 50.0) < 3.0 * found.error


def test_a_line_that_only_observed_spectra_have_tells_them_apart() -> None:
    other = spectra(2)
    other[:, 120:130] -= 0.1
    found = accuracy(principal_components(np.concatenate([spectra(1), other]), KEY), KEY)
    assert found.value > 97.0
    assert found.error > 0.0


def test_masks_are_those_of_both_partners_and_do_not_tell() -> None:
    observed, synthetic = spectra(1), spectra(2)
    rng = np.random.default_rng(3)
    observed[rng.uniform(size=observed.shape) < 0.1] = 0.0
    observed[0, 5], observed[1, 7] = np.nan, 90.0
    found = alike(observed, synthetic)
    for flux in found:
        assert (flux[(observed == 0) | np.isnan(observed)] == 1.0).all()
    assert found[0].max() == 2.0
    told = accuracy(principal_components(np.concatenate(found), KEY), KEY)
    assert abs(told.value - 50.0) < 3.0 * told.error


def test_partners_are_alike_in_noise_and_labels_and_nobody_has_two(inputs: Inputs) -> None:
    test, observed = inputs.test, survey(inputs)
    found, labelled = pair(test, observed, 7), pair(test, observed, 7, inputs.training.std)
    assert found is not None
    assert labelled is not None
    for one in (found, labelled):
        assert one.observed.size == np.unique(one.observed).size == np.unique(one.synthetic).size == 88
        assert not {3, 8} & set(one.observed.tolist())
    difference = np.log(test.sample.snr[found.synthetic] / observed.sample.snr[found.observed])
    assert np.abs(difference).max() < 0.2
    apart = [
        np.std(
            test.sample.predicted["teff"].value[one.synthetic] - observed.sample.predicted["teff"].value[one.observed]
        )
        for one in (found, labelled)
    ]
    assert apart[1] < 0.7 * apart[0]
    assert pair(test, observed, 7, {"mass": 1.0}) is None


def test_the_chapter_has_two_maps_and_four_numbers_and_is_the_same_again(inputs: Inputs) -> None:
    (section,) = gap_section(inputs)
    shown, listed = section.tables()
    assert shown.distinct("spectra") == [RAW, AUGMENTED]
    for way in (RAW, AUGMENTED):
        assert len(shown.where(spectra=way, sample=SYNTHETIC).rows) == 88
        assert len(shown.where(spectra=way, sample=OBSERVED).rows) == 88
    assert listed.texts("matched") == ["S/N", "S/N", "S/N and labels", "S/N and labels"]
    # The grid's templates are of another kind than what this run was trained on.
    raw, trained = listed.where(spectra=RAW), listed.where(spectra=AUGMENTED)
    assert (raw.numbers("accuracy_percent") > 75.0).all()
    assert (np.abs(trained.numbers("accuracy_percent") - 50.0) < 3.5 * trained.numbers("accuracy_percent_error")).all()
    (again,) = gap_section(inputs)
    assert [table.csv() for table in again.tables()] == [shown.csv(), listed.csv()]
    assert next(section.pictures()).render()["png"].startswith(b"\x89PNG")


def test_raw_templates_are_those_of_the_partners(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    many = TemplateView.many

    def watched(view: TemplateView, rows: np.ndarray) -> np.ndarray:
        asked.append(rows.tolist())
        return many(view, rows)

    monkeypatch.setattr(TemplateView, "many", watched)
    (section,) = gap_section(inputs)
    shown, _ = section.tables()
    partners = shown.where(spectra=RAW, sample=SYNTHETIC).numbers("row").astype(int)
    assert sorted(asked[0]) == sorted((partners % 40).tolist()), "row k of the held-out spectra is of template k % 40"


def test_without_the_grid_there_are_no_raw_templates_and_the_chapter_says_so(inputs: Inputs) -> None:
    (section,) = gap_section(replace(inputs, config=inputs.config.model_copy(update={"run_dir": Path("/nowhere")})))
    shown, listed = section.tables()
    assert shown.distinct("spectra") == listed.distinct("spectra") == [AUGMENTED]
    assert "grid.zarr is not there" in next(section.pictures()).note


def words_of(inputs: Inputs) -> str:
    (section,) = gap_section(inputs)
    (block,) = section.blocks
    assert isinstance(block, Text)
    return block.words


def test_few_spectra_say_nothing(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap, "FEWEST", 89)
    assert "88 observed spectra have usable labels" in words_of(inputs)
    observed = survey(inputs)
    blind = replace(observed, sample=replace(observed.sample, snr=np.full(len(observed.sample), np.nan)))
    assert ": 0 observed spectra" in words_of(replace(inputs, survey=blind))


def test_without_scikit_learn_or_a_survey_there_is_a_word_or_nothing(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gap_section(replace(inputs, survey=None)) == []
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert 'pip install "starnet-hpc[gap]"' in words_of(inputs)
