"""Tables and figures of the continuum: bias against noise and Teff, and example spectra with and without a survey."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.evaluate import evaluate
from starnet_hpc.evaluate.continua import Bias, Continua, Examples, read_continua
from starnet_hpc.evaluate.continuum_tables import HELD_OUT, SURVEY, bias, example_spectra
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import continuum as figures
from tests.evaluate.fake_run import LABELS, Recipe, build_run

PNG = b"\x89PNG"


def made_up(teff: np.ndarray, scatter: float = 0.01) -> Bias:
    """Offsets of 1 % a 1,000 K and once the noise, scattered over templates."""
    noise = np.array([0.0, 0.03, 0.06])
    rng = np.random.default_rng(1)
    offset = (teff[:, None] - 5000.0) * 1e-5 + noise + scatter * rng.standard_normal((teff.size, 3))
    return Bias(offset, noise, teff, against_truth=True)


def examples(count: int, pixels: int = 50, *, known: bool = True) -> Examples:
    flux = 1.0 + np.random.default_rng(2).uniform(size=(count, pixels))
    true = 2.0 * flux if known else np.full_like(flux, np.nan)
    return Examples(np.arange(5000.0, 5000.0 + pixels), flux, 1.5 * flux, true, ("the same title",) * count)


def test_bias_is_the_median_over_the_templates_of_a_bin() -> None:
    teff = np.random.default_rng(3).uniform(4000, 7000, 1200)
    found = bias("b", "B", made_up(teff))
    assert [(row["teff_low"], row["teff_high"]) for row in found.rows[::3]] == [
        (low, low + 500.0) for low in (4000.0, 4500.0, 5000.0, 5500.0, 6000.0, 6500.0)
    ]
    assert found.numbers("n")[::3].sum() == 1200
    centre = 0.5 * (found.numbers("teff_low") + found.numbers("teff_high"))
    expected = 100.0 * (centre - 5000.0) * 1e-5 + found.numbers("noise_percent")
    # 200 templates a bin with 1 % of scatter: 1.25 / sqrt(200) = 0.09 %; 4.5 times that.
    np.testing.assert_allclose(found.numbers("offset_percent"), expected, atol=0.4)
    np.testing.assert_allclose(found.numbers("scatter_percent"), 1.0, rtol=0.35)
    assert (found.numbers("offset_percent_error") > 0.05).all()


@pytest.mark.parametrize("teff", [[5000.0], [5000.0, 5000.0], [3000.0, 60_000.0], [4000.0, 7000.0]])
def test_bias_can_be_drawn_whatever_the_temperatures(teff: list[float]) -> None:
    found = bias("b", "B", made_up(np.array(teff)))
    assert found.numbers("n")[::3].sum() == len(teff)
    assert Picture(found, figures.bias).render()["png"].startswith(PNG)


def test_examples_are_in_units_of_their_median_with_the_survey_behind() -> None:
    found = example_spectra("e", "E", Continua(examples(8), examples(3, known=False), None), limit=4)
    assert found.distinct("sample") == [HELD_OUT, SURVEY]
    assert found.where(sample=HELD_OUT).distinct("number") == ["1", "2", "3", "4"]
    assert found.where(sample=SURVEY).distinct("number") == ["1", "2", "3"]
    one = found.where(sample=HELD_OUT, number=2)
    assert np.median(one.numbers("flux")) == pytest.approx(1.0)
    rounded = 1.6e-4  # four decimals, on both sides
    np.testing.assert_allclose(one.numbers("continuum"), 1.5 * one.numbers("flux"), atol=rounded)
    np.testing.assert_allclose(one.numbers("true_continuum"), 2.0 * one.numbers("flux"), atol=rounded)
    np.testing.assert_allclose(one.numbers("normalised"), 1 / 1.5, atol=rounded)
    assert np.isnan(found.where(sample=SURVEY).numbers("true_continuum")).all()


@pytest.mark.parametrize(("held_out", "survey"), [(4, 4), (3, 1), (1, 3), (2, 0), (0, 2)])
def test_examples_can_be_drawn_with_and_without_a_survey(held_out: int, survey: int) -> None:
    found = Continua(examples(held_out) if held_out else None, examples(survey) if survey else None, None)
    picture = Picture(example_spectra("e", "E", found, limit=4), figures.example_spectra)
    drawn = picture.draw(picture.table)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in drawn.axes]
    assert titles.count("the same title") == held_out + survey
    # Without the one, the other stands to the right once more, divided by its continuum.
    normalised = [axes for axes in drawn.axes if axes.get_ylabel() == "flux / continuum"]
    assert len(normalised) == (0 if held_out and survey else held_out + survey)
    assert picture.render()["png"].startswith(PNG)


@pytest.fixture
def run(tmp_path: Path) -> ExperimentConfig:
    return build_run(tmp_path, Recipe(n_test=60, templates=20, n_survey=20, members=1))


def test_files_that_are_not_there_leave_their_figure_out(
    run: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picture, "render", lambda _: {"png": PNG + b"\r\n\x1a\n" + bytes(20), "pdf": b"%PDF-"})
    page = evaluate(run).read_text(encoding="utf-8")
    assert "Offset of the continuum that is found from the true continuum" in page
    for name in ("continuum_bias.npz", "survey_examples.npz", "examples.npz"):
        (run.run_dir / name).unlink()
    page = evaluate(run).read_text(encoding="utf-8")
    assert "Offset of the continuum" not in page
    assert "examples.npz" in page


@pytest.mark.parametrize("name", ["continuum_bias.npz", "survey_examples.npz", "examples.npz"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named_with_the_command_that_makes_it(
    run: ExperimentConfig, name: str, content: bytes
) -> None:
    (run.run_dir / name).write_bytes(content)
    command = "observe" if name.startswith("survey") else "augment"
    with pytest.raises(StoreDamagedError, match=rf"{name}: not the file that `starnet-hpc {command} CONFIG` writes"):
        read_continua(run, LABELS)


def test_long_spectra_are_shown_at_some_of_their_pixels() -> None:
    wavelength = 4835.0 + 0.0142 * np.arange(39_436)
    flux = np.ones((1, wavelength.size))
    whole = Examples(wavelength, flux, flux, flux, ("the same title",))
    found = example_spectra("e", "E", Continua(whole, None, None), limit=4)
    assert 1000 < len(found.rows) <= 1500
    at = found.numbers("wavelength_angstrom")
    assert at[0] == wavelength[0]
    assert at[-1] == pytest.approx(wavelength[-1], abs=0.5)
    assert len(found.csv()) < 150_000  # not megabytes
