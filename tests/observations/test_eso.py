"""ESO spectra: what is written is read back; the columns and units of real products are understood or refused."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.observations import READERS, identify, read_observation, write_eso_sdp
from tests.fuzz import bounded, survives

WAVELENGTH = 4800.0 + 0.0147 * np.arange(2000)
FLUX = np.linspace(100.0, 300.0, 2000)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "ADP.fits"
    write_eso_sdp(
        path, WAVELENGTH, FLUX, error=FLUX / 50, snr=50.0, object_name="HD 1", header={"GES_TYPE": "GE_SD_BM"}
    )
    return path


def table(path: Path, *columns: fits.Column, **header: Any) -> Path:
    """Write a product with columns of one's own."""
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns, name="SPECTRUM")]).writeto(path, overwrite=True)
    return path


def vector(name: str, values: Any, kind: str = "D", unit: str | None = None) -> fits.Column:
    return fits.Column(name, f"{len(values)}{kind}", unit, array=np.asarray(values)[None])


def wave() -> fits.Column:
    return vector("WAVE", WAVELENGTH / 10, unit="nm")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(n=st.integers(16, 300), seed=st.integers(0, 2**32 - 1), frame=st.sampled_from(["rest", "barycentric", None]),
       snr=st.one_of(st.none(), st.floats(1, 1000).map(lambda x: round(x, 3))), errors=st.booleans())  # fmt: skip
def test_what_is_written_is_read_back(
    tmp_path: Path, n: int, seed: int, frame: Any, snr: float | None, errors: bool
) -> None:
    rng = np.random.default_rng(seed)
    wavelength = 4800.0 + np.cumsum(rng.uniform(0.01, 0.1, n))
    flux = rng.normal(1.0, 0.1, n).astype(np.float32)
    quality = rng.integers(0, 2, n)
    path = tmp_path / "spectrum.fits"
    write_eso_sdp(
        path, wavelength, flux, error=np.abs(flux) / 9 if errors else None, quality=quality, snr=snr, frame=frame
    )
    back = read_observation(path, None)
    np.testing.assert_allclose(back.wavelength, wavelength, rtol=1e-15)  # through nm
    np.testing.assert_array_equal(back.flux, flux)
    np.testing.assert_array_equal(back.bad, quality != 0)
    assert (back.error is None) == (not errors)
    assert (back.snr, back.frame, back.source) == (snr, frame, "spectrum.fits")


def test_header_facts_are_kept(good: Path) -> None:
    back = read_observation(good, "eso")
    assert (back.identifier, back.snr, back.frame) == ("HD 1", 50.0, "barycentric")
    assert back.extra["GES_TYPE"] == "GE_SD_BM"


def test_the_archive_sample_is_read_and_its_frame_is_not_guessed(shared: Path) -> None:
    path = shared / "data/format_samples/mock/eso/ADP.mock.GES_UVES580.fits"
    assert identify(path) == "eso"
    back = read_observation(path, None)
    assert back.wavelength[[0, -1]] == pytest.approx([4830.0, 4831.99])
    assert back.error is not None
    assert back.flux[0] / back.error[0] == 50.0
    assert (back.snr, back.identifier, back.frame) == (55.0, "00000000-0000000", None)


def test_the_calibrated_flux_goes_with_its_error_and_the_reduced_one_with_its_own(tmp_path: Path) -> None:
    reduced = (vector("FLUX_REDUCED", 7 * FLUX), vector("ERR_REDUCED", 0.7 * FLUX))
    both = table(tmp_path / "both.fits", wave(), *reduced, vector("FLUX", FLUX), vector("ERR", 0.1 * FLUX))
    back = read_observation(both, None)
    np.testing.assert_allclose(back.flux, FLUX)
    np.testing.assert_allclose(back.error, 0.1 * FLUX)
    only = read_observation(table(tmp_path / "only.fits", wave(), *reduced), None)
    np.testing.assert_allclose(only.flux, 7 * FLUX)
    np.testing.assert_allclose(only.error, 0.7 * FLUX)


@pytest.mark.parametrize("filler", [np.nan, 0.0])
def test_a_flux_column_that_nobody_filled_is_passed_over(tmp_path: Path, filler: float) -> None:
    columns = (vector("FLUX", np.full(2000, filler)), vector("ERR", np.full(2000, filler)))
    path = table(tmp_path / "s.fits", wave(), *columns, vector("FLUX_REDUCED", FLUX), vector("ERR_REDUCED", FLUX / 9))
    back = read_observation(path, None)
    np.testing.assert_allclose(back.flux, FLUX)
    np.testing.assert_allclose(back.error, FLUX / 9)


def test_errors_that_are_all_zero_are_no_errors(tmp_path: Path) -> None:
    path = table(tmp_path / "s.fits", wave(), vector("FLUX", FLUX), vector("ERR", 0 * FLUX))
    assert read_observation(path, None).error is None


@pytest.mark.parametrize(("unit", "per_angstrom"), [("nm", 0.1), ("Angstrom", 1.0), ("angstrom", 1.0), ("um", 1e-4)])
def test_units_of_wavelength_are_read(tmp_path: Path, unit: str, per_angstrom: float) -> None:
    path = table(tmp_path / "s.fits", vector("WAVE", WAVELENGTH * per_angstrom, unit=unit), vector("FLUX", FLUX))
    np.testing.assert_allclose(read_observation(path, None).wavelength, WAVELENGTH, rtol=1e-14)


def test_rows_of_single_numbers_are_read_like_one_row_of_vectors(tmp_path: Path) -> None:
    path = tmp_path / "rows.fits"
    columns = [fits.Column("WAVE", "D", "nm", array=WAVELENGTH / 10), fits.Column("FLUX", "E", array=FLUX)]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    np.testing.assert_allclose(read_observation(path, None).wavelength, WAVELENGTH, rtol=1e-14)


@pytest.mark.parametrize(
    ("specsys", "frame"),
    [
        ("BARYCENT", "barycentric"),
        ("HELIOCEN", "barycentric"),
        ("SOURCE", "rest"),
        ("TOPOCENT", "topocentric"),
        ("LSRK", None),
    ],
)
def test_the_frame_is_what_the_header_says(tmp_path: Path, specsys: str, frame: str | None) -> None:
    path = table(tmp_path / "s.fits", wave(), vector("FLUX", FLUX), SPECSYS=specsys)
    assert read_observation(path, None).frame == frame


def test_the_ucd_tells_vacuum_from_air_and_the_header_the_way_to_the_barycentre(tmp_path: Path) -> None:
    path = table(tmp_path / "s.fits", wave(), vector("FLUX", FLUX), **{"HIERARCH ESO QC VRAD BARYCOR": -12.5})
    assert (read_observation(path, None).medium, read_observation(path, None).barycentric_kms) == ("air", -12.5)
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TUCD1"] = "em.wl"
    assert read_observation(path, None).medium == "vacuum"


def _edit(change: Callable[[fits.HDUList], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with fits.open(path, mode="update") as hdus:
            change(hdus)

    return damage


def _wave(pixel: int, nm: float) -> Callable[[Path], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus[1].data["WAVE"][0, pixel] = nm

    return _edit(change)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-3000]) and None, "is truncated"),
    "empty": (lambda p: p.write_bytes(b"") and None, "is empty"),
    "text": (lambda p: p.write_text("hello") and None, "is not a FITS file"),
    "no wavelength": (_edit(lambda h: h[1].columns.change_name("WAVE", "PIXEL")), "no column WAVE"),
    "no flux": (_edit(lambda h: h[1].columns.change_name("FLUX", "FLUKS")), "no column FLUX or FLUX_REDUCED"),
    "no unit": (_edit(lambda h: h[1].header.remove("TUNIT1")), r"has unit '', expected nm or Angstrom.*TUNIT1"),
    "wrong unit": (
        _edit(lambda h: h[1].header.set("TUNIT1", "Angstrom")),
        "wavelengths run from 480 to .* unit of wavelength",
    ),
    "frequency": (_edit(lambda h: h[1].header.set("TUNIT1", "Hz")), "has unit 'Hz'"),
    "repeated wavelength": (_wave(1, 480.0), r"pixel 1, 4800.0000 A, repeats that of pixel 0"),
    "out of order": (_wave(9, 480.0), r"pixel 9, 4800.0000 A, is smaller than that of pixel 8"),
    "NaN wavelength": (_wave(9, np.nan), r"pixel 9 is nan"),
    "S/N is text": (_edit(lambda h: h[0].header.set("SNR", "good")), "SNR should be a number"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(good: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(good)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ObservationFormatError, match=message) as caught:
            read_observation(good, "eso")
    assert str(caught.value).startswith(str(good))


@pytest.mark.parametrize("form", ["eso", "ispec", None])
@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(
    good: Path, form: str | None, data: st.DataObject
) -> None:
    survives(
        data,
        good,
        lambda path: read_observation(path, form),
        lambda back: bool(np.all(np.diff(back.wavelength) > 0)),
        head=8640,
    )


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    for form in READERS:
        with pytest.raises(MissingInputError, match="there is no such file"):
            read_observation(tmp_path / "none.fits", form)
