"""The chapter on what drives labels: windows, units, and files that do not belong."""

import numpy as np
import pytest

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import sensitivities as figures
from starnet_hpc.evaluate.inputs import Inputs, read_inputs
from starnet_hpc.evaluate.sensitivities import (
    Sensitivities,
    label_windows,
    read_sensitivities,
    sensitivities,
    sensitivities_section,
    windows,
)
from starnet_hpc.stores import write_arrays
from tests.evaluate.fake_run import Recipe, build_run, write_sensitivity

LINES = (120, 121, 480)
"""Bins that carry most of the gradient of Teff."""


def made_up(spectra: int = 50, bins: int = 600, size: int = 2) -> Sensitivities:
    """60 % of the gradient of Teff in three bins, that of log g nowhere; a gap behind bin 480."""
    rng = np.random.default_rng(1)
    pixels = bins * size
    wavelength = 5000.0 + 0.1 * np.arange(pixels)
    wavelength[481 * size :] += 30.0
    sizes = np.zeros((spectra, 2, bins))
    sizes[:, 0] = 0.4 / (bins - 3)
    sizes[:, 0, LINES] = np.array([0.2, 0.1, 0.3])
    sizes *= rng.uniform(0.9, 1.1, sizes.shape) * rng.uniform(0.1, 10.0, (spectra, 1, 1))
    first = size * np.arange(bins)
    gradient = np.zeros((2, pixels))
    gradient[0] = np.linspace(-200.0, 200.0, pixels)
    gradient[0, 7] = np.nan
    piece = (np.arange(bins) > 480).astype(int)
    return Sensitivities(
        ("teff", "logg"),
        wavelength,
        np.ones(pixels),
        gradient,
        np.full((2, pixels), 4.0),
        first,
        first + size - 1,
        piece,
        sizes,
        np.arange(spectra) // 2,
    )


def test_windows_are_where_the_gradient_is_and_do_not_go_across_gaps() -> None:
    found = made_up()
    listed = windows("w", "W", found)
    assert listed.distinct("label") == ["teff"]
    strongest = sorted((float(row["low_angstrom"]), float(row["high_angstrom"])) for row in listed.rows[:2])
    assert all(low <= line <= high for line, (low, high) in zip((5024.2, 5096.1), strongest, strict=True))
    assert all(float(row["high_angstrom"]) - float(row["low_angstrom"]) < 20.0 for row in listed.rows)
    spans = [range(600)[window.bins] for window in label_windows(found, 0)]
    assert all(any(line in span for span in spans) for line in LINES)
    assert not any(480 in span and 481 in span for span in spans)
    # 3 or 2 bins with a line, and a few without.
    assert listed.numbers("share_percent")[:2] == pytest.approx([30.0, 30.0], abs=3.0)
    assert len(listed.rows) == 2
    # Scattered by 10 / sqrt(3) % of themselves: of one bin 30 x 0.7 x 0.058 %, over the root of 50 spectra.
    assert listed.numbers("share_percent_error")[:2] == pytest.approx([0.17, 0.17], abs=0.1)
    row = listed.rows[0]
    bins = (float(row["high_angstrom"]) - float(row["low_angstrom"]) + 0.1) / 0.2
    assert row["over_even"] == pytest.approx(float(row["share_percent"]) / (100.0 * bins / 600), rel=0.01)


def test_sensitivities_are_in_sigma_for_one_per_cent() -> None:
    found = made_up()
    shown = sensitivities("s", "S", found, {"teff": 50.0, "logg": 0.1})
    assert len(shown.rows) == 2 * 1200
    assert np.nanmax(shown.numbers("sigma_per_percent")) == pytest.approx(200.0 * 0.01 / 50.0)
    assert shown.numbers("sigma_per_percent_error")[:5] == pytest.approx(4.0 * 0.01 / 50.0)
    assert np.isnan(shown.numbers("sigma_per_percent")[7])
    assert shown.where(label="teff").numbers("window")[2 * 480] == 1
    assert not shown.where(label="logg").numbers("window").any()
    assert sensitivities("s", "S", found, {"teff": 50.0}).distinct("label") == ["teff"]


def test_long_spectra_are_averaged() -> None:
    found = made_up(spectra=4, bins=1000, size=40)
    shown = sensitivities("s", "S", found, {"teff": 50.0})
    assert 1400 <= len(shown.rows) <= 1500
    assert shown.numbers("sigma_per_percent").mean() == pytest.approx(0.0, abs=1e-4)
    assert Picture(shown, figures.panels).render()["png"].startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    recipe = Recipe(n_test=60, templates=6, members=1, examples=False)
    return read_inputs(build_run(tmp_path_factory.mktemp("sensitivities"), recipe))


def test_the_chapter_is_there_where_the_file_belongs(inputs: Inputs) -> None:
    write_sensitivity(inputs.config)
    (section,) = sensitivities_section(inputs)
    assert [table.name for table in section.tables()] == ["sensitivities", "sensitivity_windows"]
    assert "20 held-out spectra" in next(section.pictures()).note
    for other in ({"members": "others"}, {"input": "another store"}):
        write_sensitivity(inputs.config, **other)
        assert sensitivities_section(inputs) == []


def test_without_the_file_there_is_no_chapter_and_another_file_is_named(inputs: Inputs) -> None:
    path = inputs.config.run_dir / "predictions" / "sensitivity.npz"
    write_arrays(path, members="all of them")
    with pytest.raises(StoreDamagedError, match=r"sensitivity\.npz.*'input'"):
        read_sensitivities(inputs)
    path.write_bytes(b"something else")
    with pytest.raises(StoreDamagedError, match="no archive"):
        read_sensitivities(inputs)
    path.unlink()
    assert sensitivities_section(inputs) == []
