"""Text files: headings, units, media and comments are understood or asked for; what is wrong is named by its line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.observations import identify, read_observation
from tests.observations.cases import in_orders, write_text

NM = 480.0 + 0.001 * np.arange(200)
FLUX = np.linspace(100.0, 300.0, 200)
ERROR = FLUX / 50


def test_ispecs_text_is_nanometres_in_air(tmp_path: Path) -> None:
    path = write_text(tmp_path / "sun.txt", NM, FLUX, ERROR)
    assert identify(path) == "text"
    back = read_observation(path, None)
    np.testing.assert_allclose(back.wavelength, NM * 10, rtol=1e-9)
    np.testing.assert_allclose(back.flux, FLUX, rtol=1e-9)
    np.testing.assert_allclose(back.error, ERROR, rtol=1e-9)
    assert (back.medium, back.frame, back.snr, back.remarks) == ("air", None, None, ())


def test_a_compressed_file_is_the_same(tmp_path: Path) -> None:
    path = write_text(tmp_path / "sun.txt", NM, FLUX, ERROR)
    packed = tmp_path / "sun.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_observation(packed, None).flux, read_observation(path, None).flux)
    packed.write_bytes(packed.read_bytes()[:-300])
    with pytest.raises(ObservationFormatError, match="cannot be uncompressed"):
        read_observation(packed, "text")


@pytest.mark.parametrize(
    ("heading", "scale", "medium"),
    [
        ("# wavelength [nm] flux error", 1.0, None),
        ("# Wavelength (Angstrom)   Flux (counts)   Sigma", 10.0, None),
        ("wave_vac_nm flux err", 1.0, "vacuum"),
        ("wave_air[Å] flux_norm e_flux", 10.0, "air"),
        ("# some words of an observer\n# lambda_um intensity uncertainty", 1e-3, None),
        ("# unit: nm\n# medium: vacuum\nwavelength flux error", 1.0, "vacuum"),
        ("# wavelength flux\nwl_aa flux error", 10.0, None),  # the nearest heading, with as many names as columns
    ],
)
def test_a_heading_names_columns_unit_and_medium(
    tmp_path: Path, heading: str, scale: float, medium: str | None
) -> None:
    back = read_observation(write_text(tmp_path / "s.dat", NM * scale, FLUX, ERROR, heading=heading), None)
    np.testing.assert_allclose(back.wavelength, NM * 10, rtol=1e-9)
    assert back.error is not None
    assert back.medium == medium


def test_columns_may_come_in_any_order_and_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    rows = [f"{k},{f},x,{w},{int(k == 7)}" for k, (w, f) in enumerate(zip(NM * 10, FLUX, strict=True))]
    path.write_text("\n".join(["row,Flux norm,sky,Wavelength (A),qual", *rows]).replace(",x,", ",0,"))
    back = read_observation(path, None)
    np.testing.assert_allclose(back.wavelength, NM * 10)
    np.testing.assert_allclose(back.flux, FLUX)
    assert np.flatnonzero(back.bad).tolist() == [7]


def test_without_a_unit_only_one_can_be_meant_and_it_is_said(tmp_path: Path) -> None:
    nm = read_observation(write_text(tmp_path / "nm.txt", NM, FLUX, heading=""), None)
    angstrom = read_observation(write_text(tmp_path / "a.txt", NM * 10, FLUX, heading=""), None)
    np.testing.assert_allclose(nm.wavelength, angstrom.wavelength, rtol=1e-9)
    assert nm.remarks[0].startswith("wavelengths taken as nm")
    assert angstrom.remarks[0].startswith("wavelengths taken as angstrom")
    assert (nm.medium, nm.frame, nm.error) == (None, None, None)


def test_comments_say_frame_object_and_snr(tmp_path: Path) -> None:
    heading = "# frame: Barycentric\n#object = HD 1\n#  SNR: 80\n# wavelength [nm] flux"
    back = read_observation(write_text(tmp_path / "s.txt", NM, FLUX, heading=heading), None)
    assert (back.frame, back.identifier, back.snr) == ("barycentric", "HD 1", 80.0)


def test_zeros_and_what_is_no_number_are_bad_pixels(tmp_path: Path) -> None:
    flux = FLUX.copy()
    flux[3], flux[5] = 0.0, np.nan
    back = read_observation(write_text(tmp_path / "s.txt", NM, flux, ERROR), None)
    assert np.flatnonzero(back.bad).tolist() == [3, 5]


def test_overlapping_orders_are_merged_if_there_are_errors_to_weigh_them_with(tmp_path: Path) -> None:
    chosen = in_orders(NM, 2, 20)
    back = read_observation(write_text(tmp_path / "s.txt", NM[chosen], FLUX[chosen], ERROR[chosen]), None)
    assert back.remarks == ("overlapping orders merged",)
    np.testing.assert_allclose(np.interp(NM * 10, back.wavelength, back.flux), FLUX, rtol=1e-6)
    bare = write_text(tmp_path / "bare.txt", NM[chosen], FLUX[chosen], heading="wave_nm flux")
    with pytest.raises(ObservationFormatError, match=r"is smaller than that of pixel 109.*merge the orders"):
        read_observation(bare, None)


FAULTS = {
    "no number": ("480.0 1\n480.1 x\n", r"line 2: 'x' is not a number; correct or remove the line"),
    "cut off": ("480.0 1 1\n480.1 1 1\n480.2 1\n", r"line 3 has 2 columns, those before it 3: '480.2 1'; if it is"),
    "prose": ("This is a note\nabout a star.\n", r"is no table of numbers: below comments \(#\) and one heading"),
    "names nothing": ("x y\n480.0 1\n", r"the heading 'x y' does not name the 2 columns below it, wavelength and flux"),
    "too few names": ("wave flux\n480.0 1 1\n", r"does not name the 3 columns below it"),
    "too many columns": ("480.0 1 1 1\n", r"has 4 columns without names; name them in a line above"),
    "odd unit": ("wavelength [cubits] flux\n480 1\n", r"unit of wavelength is 'cubits', expected nm, angstrom or um"),
    "odd medium": ("# medium: water\n480 1\n", r"comment `medium: water`: expected air or vacuum"),
    "odd frame": ("# frame: mine\n480 1\n", r"comment `frame: mine`: expected rest or barycentric or topocentric"),
    "odd snr": ("# snr: good\n480 1\n", r"comment `snr: good`: expected a positive number"),
    "empty": ("", "is empty"),
    "comments only": ("# nothing\n", "is no table of numbers"),
    "few": ("480 1\n481 1\n", r"at least 16 pixels"),
    "binary": ("480 1\n\0\n", "is not a text file"),
}


@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_by_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "s.txt"
    path.write_text(content)
    with pytest.raises(ObservationFormatError, match=message) as caught:
        read_observation(path, "text")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("pixel", "value", "message"),
    [
        (9, np.nan, "the wavelength of pixel 9 is nan"),
        (9, 480.008, r"pixel 9, 4800.0800 A, repeats that of pixel 8"),
        (9, 480.0, r"pixel 9, 4800.0000 A, is smaller than that of pixel 8"),
        (0, 4.8, r"wavelengths run from 48 to .* unit of wavelength is probably wrong"),
    ],
)
def test_wavelengths_out_of_order_or_range_are_named(tmp_path: Path, pixel: int, value: float, message: str) -> None:
    nm = NM.copy()
    nm[pixel] = value
    with pytest.raises(ObservationFormatError, match=message):
        read_observation(write_text(tmp_path / "s.txt", nm, FLUX, ERROR), None)
