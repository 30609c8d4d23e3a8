"""ESPaDOnS and NARVAL: `.s` files and CFHT's FITS give the same spectrum; orders are merged; faults are named."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.observations import identify, read_observation
from tests.observations.cases import in_orders, write_dot_s, write_opera

WAVELENGTH = 5000.0 * np.exp(6e-6 * np.arange(3000))
FLUX = 1000.0 * (1.0 - 0.5 * np.exp(-0.5 * ((WAVELENGTH - 5030.0) / 0.2) ** 2))
ERROR = FLUX / 100


def test_intensity_files_and_polarimetric_ones_give_intensity_and_error(tmp_path: Path) -> None:
    intensity = write_dot_s(tmp_path / "i.s", WAVELENGTH, FLUX, ERROR)
    stokes = write_dot_s(tmp_path / "p.s", WAVELENGTH, FLUX, 0.01 * FLUX, 0 * FLUX, 0 * FLUX, ERROR)
    for path in (intensity, stokes):
        assert identify(path) == "espadons"
        back = read_observation(path, None)
        np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=0, atol=5.1e-5)  # 5 decimals in nm
        np.testing.assert_allclose(back.flux, FLUX, rtol=6e-6)
        np.testing.assert_allclose(back.error, ERROR, rtol=6e-6)
        assert (back.identifier, back.medium, back.frame, back.remarks) == ("HD 1", "air", None, ())


def test_fits_files_give_the_intensity_that_nobody_normalised(tmp_path: Path) -> None:
    path = write_opera(tmp_path / "1234i.fits", WAVELENGTH, FLUX, ERROR)
    assert identify(path) == "espadons"
    back = read_observation(path, None)
    np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=1e-12)
    np.testing.assert_allclose(back.flux, FLUX)
    np.testing.assert_allclose(back.error, ERROR)
    assert (back.identifier, back.medium, back.frame) == ("HD 1", "air", None)


def test_overlapping_orders_become_one_spectrum(tmp_path: Path) -> None:
    chosen = in_orders(WAVELENGTH, 4, 100)
    for path in (
        write_dot_s(tmp_path / "o.s", WAVELENGTH[chosen], FLUX[chosen], ERROR[chosen]),
        write_opera(tmp_path / "o.fits", WAVELENGTH[chosen], FLUX[chosen], ERROR[chosen]),
    ):
        back = read_observation(path, None)
        assert back.remarks == ("overlapping orders merged",)
        assert np.all(np.diff(back.wavelength) > 0)
        np.testing.assert_allclose(np.interp(WAVELENGTH, back.wavelength, back.flux), FLUX, rtol=2e-4)


def test_pixels_without_flux_or_error_are_bad(tmp_path: Path) -> None:
    flux, error = FLUX.copy(), ERROR.copy()
    flux[3], error[5] = 0.0, 0.0
    back = read_observation(write_dot_s(tmp_path / "s.s", WAVELENGTH, flux, error), None)
    assert np.flatnonzero(back.bad).tolist() == [3, 5]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


FAULTS = {
    "cut off": (lambda rows: rows[:-100], r"line 2 announces 3000 rows, but there are 2900; is it cut off"),
    "cut in a row": (
        lambda rows: [*rows[:50], rows[50][:12] + "\n", *rows[51:]],
        r"line 51 has 2 columns, those ",
    ),
    "no counts": (lambda rows: [rows[0], *rows[2:]], r"line 2 should be the numbers of rows and of columns"),
    "other columns": (lambda rows: [rows[0], " 3000 5\n", *rows[2:]], r"announces 5 columns .*, line 3 has 2"),
    "no error": (
        lambda rows: [rows[0], " 3000 1\n", *(row.rsplit(" ", 1)[0] + "\n" for row in rows[2:])],
        r"expected at least intensity and error",
    ),
    "text": (lambda rows: [*rows[:9], rows[9].replace("e+0", "x+0"), *rows[10:]], r"line 10: '.*' is not a number"),
    "one line": (lambda rows: rows[:1], r"line 2 should be"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_text_is_named_by_its_line(tmp_path: Path, fault: str) -> None:
    path = write_dot_s(tmp_path / "s.s", WAVELENGTH, FLUX, ERROR)
    damage, message = FAULTS[fault]
    path.write_text("".join(damage(_lines(path))))
    with pytest.raises(ObservationFormatError, match=message) as caught:
        read_observation(path, "espadons")
    assert str(caught.value).startswith(str(path))


def test_a_fits_file_without_named_rows_is_refused(tmp_path: Path) -> None:
    path = write_opera(tmp_path / "s.fits", WAVELENGTH, FLUX, ERROR)
    with fits.open(path, mode="update") as hdus:
        for number in (3, 6, 9, 12):
            hdus[0].header[f"COL{number}"] = "Order"
    with pytest.raises(ObservationFormatError, match="COL1 to COL12 do not name a Wavelength, an Intensity and an Err"):
        read_observation(path, None)
    fits.PrimaryHDU(np.ones(50)).writeto(path, overwrite=True)
    with pytest.raises(ObservationFormatError, match=r"an image of named rows, but has shape \(50,\)"):
        read_observation(path, "espadons")
