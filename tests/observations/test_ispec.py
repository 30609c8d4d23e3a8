"""iSpec's files: the real benchmark stars, both units, and headers that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.observations import identify, read_observation

AXIS = {"CRVAL1": 480.0, "CDELT1": 0.001, "CRPIX1": 1, "CUNIT1": "NM", "CTYPE1": "AWAV"}


def spectrum(path: Path, flux: Any = None, sigma: Any = None, **header: Any) -> Path:
    """Write an iSpec file; a header value of None removes the keyword."""
    flux = np.ones(500, dtype=np.float32) if flux is None else np.asarray(flux, dtype=np.float32)
    hdus = [fits.PrimaryHDU(flux)]
    hdus[0].header.update({key: value for key, value in {**AXIS, **header}.items() if value is not None})
    if sigma is not None:
        hdus.append(fits.ImageHDU(np.asarray(sigma, dtype=np.float32), name="SIGMA"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("name", ["ATLAS.Sun_47000", "UVES_epsEri-2_47000", "iraf_UVES_HD201891_47000"])
def test_the_benchmark_stars_are_recognised_and_read(shared: Path, name: str) -> None:
    path = shared / f"data/observed/{name}.fits"
    assert identify(path) == "ispec"
    back = read_observation(path, None)
    assert back.wavelength[[0, -1]] == pytest.approx([4800.0, 6799.99])
    assert (back.frame, back.snr) == (None, None)
    assert (back.error is None) == (name == "iraf_UVES_HD201891_47000")
    gap = (back.wavelength > 5800) & (back.wavelength < 5820)  # between the arms of UVES; the Sun's atlas has none
    assert back.bad[gap].all() == ("UVES" in name)
    assert not back.bad[(back.wavelength > 5200) & (back.wavelength < 5300)].any()


def test_lines_of_the_sun_lie_where_they_belong_in_air(shared: Path) -> None:
    """Fe I 5232.940 A (NIST, air): an axis in vacuum or off by one pixel (0.01 A) would show."""
    back = read_observation(shared / "data/observed/ATLAS.Sun_47000.fits", None)
    near = np.abs(back.wavelength - 5232.94) < 0.25
    depth = 1.0 - back.flux[near]
    assert (back.wavelength[near] * depth).sum() / depth.sum() == pytest.approx(5232.94, abs=0.01)


@pytest.mark.parametrize(("kind", "medium"), [("AWAV", "air"), ("WAVE", "vacuum"), ("LINEAR", None), (None, None)])
def test_the_medium_is_what_the_header_says(tmp_path: Path, kind: str | None, medium: str | None) -> None:
    assert read_observation(spectrum(tmp_path / "s.fits", CTYPE1=kind), None).medium == medium


def test_both_units_give_the_same_wavelengths(tmp_path: Path) -> None:
    nm = read_observation(spectrum(tmp_path / "nm.fits"), None)
    angstrom = spectrum(tmp_path / "a.fits", CRVAL1=4800.0, CDELT1=0.01, CUNIT1="Angstrom")
    np.testing.assert_allclose(read_observation(angstrom, None).wavelength, nm.wavelength, rtol=1e-14)


def test_the_reference_pixel_counts_from_one(tmp_path: Path) -> None:
    back = read_observation(spectrum(tmp_path / "s.fits", CRPIX1=11), None)
    assert back.wavelength[10] == pytest.approx(4800.0)


def test_zeros_and_nans_are_bad_pixels(tmp_path: Path) -> None:
    flux = np.ones(500)
    flux[3], flux[7] = 0.0, np.nan
    assert np.flatnonzero(read_observation(spectrum(tmp_path / "s.fits", flux), None).bad).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"CUNIT1": "Hz"}, "CUNIT1 is 'Hz', expected NM or Angstrom"),
        ({"CUNIT1": None}, "CUNIT1 is ''"),
        ({"CTYPE1": "WAVE-LOG"}, r"CTYPE1 is 'WAVE-LOG', expected AWAV \(wavelength in air\)"),
        ({"DC-FLAG": 1}, "DC-FLAG is 1, the axis is logarithmic"),
        ({"CRVAL1": None}, "lacks keyword CRVAL1"),
        ({"CDELT1": "x"}, "CDELT1 should be a number"),
        ({"CDELT1": 0.0}, "repeats that of pixel 0"),
        ({"CDELT1": -0.001}, "is smaller than that of pixel 0"),
        ({"CUNIT1": "Angstrom"}, "unit of wavelength is probably wrong"),
    ],
)
def test_a_wrong_axis_is_named(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    path = spectrum(tmp_path / "s.fits", **header)
    with pytest.raises(ObservationFormatError, match=message):
        read_observation(path, "ispec")


def test_an_image_is_no_spectrum(tmp_path: Path) -> None:
    path = spectrum(tmp_path / "s.fits", np.ones((20, 20)))
    with pytest.raises(ObservationFormatError, match=r"should hold one row of pixels, but has shape \(20, 20\)"):
        read_observation(path, "ispec")


def test_errors_of_another_length_are_refused(tmp_path: Path) -> None:
    path = spectrum(tmp_path / "s.fits", sigma=np.ones(499))
    with pytest.raises(ObservationFormatError, match=r"\(499,\), \(500,\)"):
        read_observation(path, "ispec")


def test_a_file_of_no_known_format_is_answered_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "s.fits"
    fits.PrimaryHDU(np.ones((5, 5))).writeto(path)
    with pytest.raises(ObservationFormatError, match=r"is of no format known here \(eso, harps, .*survey\.format"):
        identify(path)
    with pytest.raises(ConfigError, match=r"there is no 'sophie'; give one of eso, harps, espadons, ispec, text, spec"):
        read_observation(path, "sophie")
