"""Pixel centres from files: the same pixels whatever the file's kind, and what is said about bad ones."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from starnet_hpc.config import InstrumentConfig, resolved_yaml
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments import Instrument, build_instrument, load_instrument

CENTRES = 5000.0 * (1.0 + 1e-5) ** np.arange(400) + 0.003 * np.sin(np.arange(400) / 7.0)
"""Pixels that follow no rule."""


def built(path: Path, **arm: Any) -> Instrument:
    description = {"name": "mine", "resolution": 20_000, "arms": [{"file": str(path), **arm}]}
    return build_instrument(InstrumentConfig.model_validate(description))


def numpy_file(folder: Path, values: NDArray[Any]) -> Path:
    np.save(folder / "pixels.npy", values)
    return folder / "pixels.npy"


def text_file(folder: Path, text: str) -> Path:
    (folder / "pixels.txt").write_text(text, encoding="utf-8")
    return folder / "pixels.txt"


def table_file(folder: Path, values: NDArray[Any], *, vector: bool = False, unit: str | None = None) -> Path:
    form = f"{values.size}D" if vector else "D"
    columns = [
        fits.Column("FLUX", form, array=np.ones((1, values.size)) if vector else np.ones(values.size)),
        fits.Column("WAVE", form, unit=unit, array=values[None] if vector else values),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(
        folder / "pixels.fits", overwrite=True
    )
    return folder / "pixels.fits"


def test_text_numpy_and_fits_give_the_same_pixels_and_the_same_recipe(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcde"]
    for folder in folders:
        folder.mkdir()
    image = folders[4] / "image.fits"
    fits.PrimaryHDU(CENTRES).writeto(image)
    instruments = [
        built(numpy_file(folders[0], CENTRES)),
        built(text_file(folders[1], "# mine\nwave, flux\n" + "".join(f"{x!r}, 1\n" for x in CENTRES.tolist()))),
        built(table_file(folders[2], CENTRES), column="wave"),
        built(table_file(folders[3], CENTRES, vector=True, unit="Angstrom"), column="WAVE"),
        built(image),
    ]
    for instrument in instruments:
        np.testing.assert_array_equal(instrument.wavelength, CENTRES)
        assert instrument.recipe() == instruments[0].recipe()
    assert str(tmp_path) not in str(instruments[0].recipe())


def test_other_numbers_in_the_file_give_another_recipe(tmp_path: Path) -> None:
    before = built(numpy_file(tmp_path, CENTRES)).recipe()
    changed = CENTRES.copy()
    changed[200] += 1e-9
    assert built(numpy_file(tmp_path, changed)).recipe() != before


def test_edges_lie_halfway_between_pixels_and_touch(tmp_path: Path) -> None:
    instrument = built(numpy_file(tmp_path, CENTRES))
    np.testing.assert_array_equal(instrument.lower[1:], instrument.upper[:-1])
    np.testing.assert_allclose(instrument.lower[1:], 0.5 * (CENTRES[1:] + CENTRES[:-1]), rtol=1e-15)
    np.testing.assert_allclose(instrument.wavelength[[0, -1]] * 2, (instrument.lower + instrument.upper)[[0, -1]])


def test_a_jump_in_the_wavelengths_is_a_gap_and_no_wide_pixel(tmp_path: Path) -> None:
    instrument = built(numpy_file(tmp_path, np.concatenate([CENTRES, CENTRES + 100.0])))
    np.testing.assert_array_equal(np.flatnonzero(instrument.lower[1:] != instrument.upper[:-1]), [399])
    assert (instrument.upper - instrument.lower).max() < 0.06
    assert instrument.remarks[0].count("400 pixels from") == 2


def test_each_stretch_between_gaps_may_have_a_rule_of_its_own(tmp_path: Path) -> None:
    arms = [4046.0 + 0.05 * np.arange(500), 4740.0 + 0.04 * np.arange(600)]
    instrument = built(numpy_file(tmp_path, np.concatenate(arms).astype(np.float32)))
    np.testing.assert_allclose(instrument.wavelength, np.concatenate(arms), rtol=1e-14)
    np.testing.assert_allclose(instrument.upper - instrument.lower, np.repeat([0.05, 0.04], [500, 600]), rtol=1e-9)
    assert "are read as 4046 + 0.05 i; 600 pixels from" in instrument.remarks[0]


def test_nanometres_and_micrometres_are_converted_if_said(tmp_path: Path) -> None:
    wanted = built(numpy_file(tmp_path, CENTRES)).wavelength
    said = built(numpy_file(tmp_path, CENTRES / 10), unit="nm").wavelength
    np.testing.assert_allclose(said, wanted, rtol=1e-14)
    np.testing.assert_allclose(built(table_file(tmp_path, CENTRES / 1e4, unit="um"), column="wave").wavelength, wanted)


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "nm"), (1e-4, "um")])
def test_nanometres_that_are_not_said_are_noticed(tmp_path: Path, factor: float, unit: str) -> None:
    with pytest.raises(ConfigError, match=rf"pixels\.npy: ends at .* write `unit: {unit}` into the arm"):
        built(numpy_file(tmp_path, CENTRES * factor))


def test_a_unit_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="says that its unit is nm, the instrument says angstrom"):
        built(table_file(tmp_path, CENTRES / 10, unit="nm"), column="wave", unit="angstrom")
    with pytest.raises(ConfigError, match="the unit of WAVE is 'furlong'"):
        built(table_file(tmp_path, CENTRES, unit="furlong"), column="wave")


def test_single_precision_is_read_as_the_rule_behind_it(tmp_path: Path) -> None:
    rule = 4835.01 + 0.0142 * np.arange(39_436)
    instrument = built(numpy_file(tmp_path, rule.astype(">f4")))
    np.testing.assert_allclose(instrument.wavelength, rule, rtol=1e-15)
    np.testing.assert_allclose(instrument.upper - instrument.lower, 0.0142, rtol=1e-6)
    assert "(single precision), are read as 4835.01 + 0.0142 i" in instrument.remarks[0]


def test_rounded_text_of_logarithmic_pixels_is_read_as_their_rule(tmp_path: Path) -> None:
    rule = 4000.0 * np.exp(1e-5 * np.arange(2000))
    path = text_file(tmp_path, "\n".join(f"{x:.3f}" for x in rule))
    instrument = built(path)
    np.testing.assert_allclose(np.diff(np.log(instrument.upper)), 1e-5, rtol=1e-5)
    assert np.abs(instrument.wavelength - rule).max() < 1e-3


def test_single_precision_without_a_rule_is_used_as_it_is_and_told(tmp_path: Path) -> None:
    wanted = 5000.0 + 0.03 * np.arange(400) + 0.5 * np.sin(np.arange(400) / 60.0)
    instrument = built(numpy_file(tmp_path, wanted.astype(np.float32)))
    np.testing.assert_allclose(instrument.wavelength, wanted, atol=3e-4, rtol=0)
    assert "better give float64" in instrument.remarks[0]


def test_the_authors_red_arm_is_what_the_shipped_instrument_says(shared: Path) -> None:
    theirs = built(shared / "data/wavelength_grids/UVES_580-680.npy", unit="nm")
    ours = load_instrument("uves_5822_6831")
    np.testing.assert_allclose(theirs.wavelength, ours.wavelength, rtol=1e-12)


def test_the_weave_arms_are_what_the_shipped_instrument_says(shared: Path) -> None:
    theirs = built(shared / "data/wavelength_grids/weave_hr_wavegrid_arms.npy")
    ours = load_instrument("weave_hr")
    np.testing.assert_allclose(theirs.wavelength, ours.wavelength, rtol=0, atol=2e-8)
    np.testing.assert_allclose(theirs.lower, ours.lower, rtol=0, atol=2e-8)
    np.testing.assert_allclose(theirs.upper, ours.upper, rtol=0, atol=2e-8)


def spectrum_image(folder: Path, **header: Any) -> Path:
    """A reduced spectrum as IRAF and many pipelines write it: fluxes, with their wavelengths as an axis."""
    image = fits.PrimaryHDU(1.0 + 0.1 * np.sin(np.arange(500.0)))
    image.header.update({"CRVAL1": 500.1, "CRPIX1": 11.0, "CUNIT1": "nm", **header})
    image.writeto(folder / "spectrum.fits", overwrite=True)
    return folder / "spectrum.fits"


@pytest.mark.parametrize("step", ["CDELT1", "CD1_1"])
def test_a_reduced_spectrum_gives_the_wavelengths_of_its_axis(tmp_path: Path, step: str) -> None:
    instrument = built(spectrum_image(tmp_path, **{step: 0.005}))
    # Pixel 11, counted from 1, has CRVAL1.
    np.testing.assert_allclose(instrument.wavelength, 5001.0 + 0.05 * (np.arange(500) - 10), rtol=1e-12)


@pytest.mark.parametrize("header", [{"CTYPE1": "WAVE-LOG", "CDELT1": 1e-4}, {"DC-FLAG": 1, "CDELT1": 1e-4}, {}])
def test_an_axis_that_is_not_linear_is_no_list_of_pixels(tmp_path: Path, header: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"spectrum\.fits: is an image whose axis .* not linear .* `spacing: log"):
        built(spectrum_image(tmp_path, **header))


BAD: list[tuple[NDArray[Any], str]] = [
    (CENTRES[:10], "holds 10 pixel centres; an arm needs at least 16"),
    (CENTRES[::-1], "wavelengths decrease; write them in increasing order"),
    (np.where(np.arange(400) == 7, np.nan, CENTRES), r"pixel 7 \(counted from 0\) is nan"),
    (np.where(np.arange(400) == 7, CENTRES[6], CENTRES), "pixel 7 .* repeats pixel 6"),
    (np.where(np.arange(400) == 7, 4999.0, CENTRES), "pixel 7 .* is smaller than pixel 6"),
    (np.stack([CENTRES, CENTRES]), r"expected one row of pixel centres, got an array of shape \(2, 400\)"),
    (np.array(["a"] * 20), "not numbers"),
    (np.array([{}] * 20), "cannot be read as a file of pixel centres"),
]


@pytest.mark.parametrize(("values", "said"), BAD, ids=range(len(BAD)))
def test_numbers_that_cannot_be_pixels_are_refused_with_file_and_place(
    tmp_path: Path, values: NDArray[Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"instrument mine: .*pixels\.npy: .*{said}"):
        built(numpy_file(tmp_path, values))


@pytest.mark.parametrize(
    ("text", "arm", "said"),
    [
        ("", {}, "holds no row of numbers"),
        ("5000.1\n5000.2\nabc\n", {}, "line 3: 'abc' is not a row of numbers"),
        ("a b\n5000 1\n5001\n", {"column": "b"}, "line 3: 1 columns, where the lines before have 2"),
        ("a b\n5000 1\n", {"column": "c"}, "has no column 'c'; it has a, b"),
        ("5000 1\n", {"column": "c"}, "has no line of headings"),
        ("5000\ninf\n", {}, "line 2: 'inf' holds something that is no finite number"),
        ("\x93NUMPY", {}, "is not a row of numbers|holds no row"),
    ],
)
def test_bad_text_is_refused_with_file_and_line(tmp_path: Path, text: str, arm: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"pixels\.txt.*({said})"):
        built(text_file(tmp_path, text), **arm)


def test_files_that_are_not_there_or_not_what_they_are_called_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"instrument mine: .*none\.npy: there is no such file"):
        built(tmp_path / "none.npy")
    for name in ("junk.fits", "junk.npy", "junk.fits.gz"):
        (tmp_path / name).write_bytes(b"\x00\xff junk" * 40)
        with pytest.raises(ConfigError, match=f"{name}: cannot be read as a file of pixel centres"):
            built(tmp_path / name)
    (tmp_path / "junk.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"junk\.txt: is not a text file"):
        built(tmp_path / "junk.txt")
    with pytest.raises(ConfigError, match="has no column 'lambda'; it has FLUX, WAVE"):
        built(table_file(tmp_path, CENTRES), column="lambda")


def test_a_description_with_a_file_survives_being_written_and_read_again(tmp_path: Path) -> None:
    arms = [{"file": str(numpy_file(tmp_path, CENTRES))}, {"start": 6000.0, "step": 0.05, "stop": 6010.0}]
    config = InstrumentConfig.model_validate({"name": "mine", "resolution": 20_000, "arms": arms, "tellurics": "bands"})
    (tmp_path / "again.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    assert load_instrument(str(tmp_path / "again.yaml")).recipe() == build_instrument(config).recipe()


def _complaint(path: Path) -> str | None:
    """Return our error about a file, or None if it gives pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, on FITS files that end early
        try:
            assert (np.diff(built(path).wavelength) > 0).all()
        except ConfigError as error:
            return str(error)
    return None


@pytest.mark.parametrize("kind", ["fits", "npy", "txt"])
def test_damaged_files_give_pixels_or_one_of_our_errors(tmp_path: Path, kind: str) -> None:
    makers = {"fits": table_file, "npy": numpy_file}
    path = makers[kind](tmp_path, CENTRES[:64]) if kind in makers else text_file(tmp_path, "w f\n5000 1\n5001 1\n" * 9)
    whole, generator = path.read_bytes(), np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole[: generator.integers(1, len(whole) + 1)])
        for place in generator.integers(0, len(damaged), 8):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(bytes(damaged))
        said = _complaint(path)
        assert said is None or path.name in said
        refused += said is not None
    assert refused > 20


def test_paths_in_a_description_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "instruments"
    folder.mkdir()
    numpy_file(folder, CENTRES)
    (folder / "sky.txt").write_text("lower upper\n5001 5002\n6000 6001\n", encoding="utf-8")
    text = "name: mine\nresolution: 20000\narms:\n  - {file: pixels.npy}\ntellurics: sky.txt\n"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    instrument = load_instrument("instruments/mine.yaml")
    np.testing.assert_array_equal(instrument.wavelength, CENTRES)
    assert instrument.telluric_windows == ((5001.0, 5002.0),)
