"""PHOENIX files: wavelengths from a file of their own, names against headers, and what is damaged is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import reader_for
from starnet_hpc.grids.phoenix import WAVELENGTH_FILE
from tests.fuzz import bounded, survives
from tests.grids.files import air_to_vacuum, read, write_phoenix
from tests.grids.templates import SUN, is_template, template

READER = reader_for("phoenix")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_phoenix(tmp_path)


def test_wavelengths_come_in_air_and_fluxes_per_angstrom(good: Path) -> None:
    back = read("phoenix", good)
    np.testing.assert_allclose(back.wavelength, template().wavelength, atol=1e-6)
    np.testing.assert_allclose(back.flux, template().flux, rtol=2e-7)
    assert back.labels == SUN
    assert back.extra == {"vmicro": 1.25}
    assert back.resolution is None


def test_the_archive_sample_is_read(shared: Path) -> None:
    folder = shared / "data/format_samples/mock/phoenix"
    (source,) = READER.sources(folder)
    back = READER.read(source)
    assert back.labels == {"teff": 4000.0, "logg": 1.0, "feh": -1.0, "afe": 0.4}
    assert (back.wavelength.size, back.flux[0]) == (200, 500_000.0)
    np.testing.assert_allclose(air_to_vacuum(back.wavelength)[:2], [4830.0, 4830.01], atol=1e-6)


def test_real_files_of_another_kind_are_passed_over(shared: Path) -> None:
    with pytest.raises(MissingInputError, match=r"holds no PHOENIX spectrum \(lte\*HiRes.fits\) among 2 entries"):
        READER.sources(shared / "data/format_samples/phoenix")


def test_subfolders_are_part_of_the_grid(tmp_path: Path) -> None:
    names = ["Z-0.0/lte05777-4.44-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"]
    names += [name.replace("Z-0.0", "Z-1.0.Alpha=+0.40").replace("-0.0.P", "-1.0.Alpha=+0.40.P") for name in names]
    for name in names:
        path = write_phoenix(tmp_path, name)
        if "Z-1.0" in name:
            with fits.open(path, mode="update") as hdus:
                hdus[0].header.update(PHXM_H=-1.0, PHXALPHA=0.4)
    sources = READER.sources(tmp_path)
    assert [source.path.parent.name for source in sources] == ["Z-0.0", "Z-1.0.Alpha=+0.40"]
    assert [READER.read(source).labels["feh"] for source in sources] == [0.0, -1.0]
    assert READER.companions(sources) == [tmp_path / WAVELENGTH_FILE]
    with pytest.raises(MissingInputError, match="there is no folder"):
        READER.sources(tmp_path / "nowhere")


def test_one_missing_file_of_wavelengths_is_asked_for(good: Path) -> None:
    (good.parent / WAVELENGTH_FILE).unlink()
    with pytest.raises(MissingInputError, match=f"there is no {WAVELENGTH_FILE} beside it .* same archive"):
        read("phoenix", good)


def test_wavelengths_increase_through_the_far_ultraviolet_where_there_are_none_in_air(tmp_path: Path) -> None:
    path = write_phoenix(tmp_path)
    vacuum = np.linspace(1500.0, 2400.0, template().flux.size)
    fits.PrimaryHDU(vacuum).writeto(tmp_path / WAVELENGTH_FILE, overwrite=True)
    back = read("phoenix", path)
    optical = vacuum > 2001.0
    np.testing.assert_allclose(air_to_vacuum(back.wavelength[optical]), vacuum[optical], atol=1e-6)
    assert is_template(back)


def test_scaled_and_compressed_images_are_read_by_the_long_way(good: Path) -> None:
    expected = read("phoenix", good).flux
    packed = good.with_name(f"{good.name}.gz")
    with fits.open(good) as hdus:
        hdus.writeto(packed)
    np.testing.assert_array_equal(read("phoenix", packed).flux, expected)
    part = read("phoenix", packed, window=(5150.0, 5151.0))
    assert part.wavelength.size == part.flux.size < expected.size


def _edit(change: Callable[[fits.HDUList], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with fits.open(path, mode="update") as hdus:
            change(hdus)

    return damage


def _waves(values: np.ndarray, **header: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        hdu = fits.PrimaryHDU(values)
        hdu.header.update(header)
        hdu.writeto(path.with_name(WAVELENGTH_FILE), overwrite=True)

    return damage


def _set(row: int, value: float) -> Callable[[Path], None]:
    return _edit(lambda hdus: hdus[0].data.__setitem__(row, value))


VACUUM = air_to_vacuum(template().wavelength)
TWICE = VACUUM.copy()
TWICE[5] = TWICE[4]
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:4000]), "is truncated: HDU 0 should end at byte"),
    "empty": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "text": (lambda p: p.write_text("5000.0 1.0\n" * 100), "is not a FITS file"),
    "keyword missing": (_edit(lambda h: h[0].header.remove("PHXM_H")), "lacks keyword PHXM_H"),
    "renamed": (
        _edit(lambda h: h[0].header.set("PHXTEFF", 6000.0)),
        r"the name says teff = 5777, the header 6000 \(PHXTEFF\)",
    ),
    "NaN flux": (_set(17, np.nan), r"flux\[17\] at 5140.850 A is nan"),
    "zero flux": (_set(800, 0.0), r"flux\[800\] at 5180.000 A is 0"),
    "a table": (
        lambda p: fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1.0])]).writeto(p, overwrite=True),
        "holds nothing: another format",
    ),
    "two dimensions": (lambda p: fits.PrimaryHDU(np.ones((2, 801))).writeto(p, overwrite=True), r"shape \(2, 801\)"),
    "wavelengths of another version": (_waves(VACUUM[:-1]), "has 801 fluxes, but WAVE_PHOENIX.* has 800 wavelengths"),
    "repeated wavelength": (_waves(TWICE), r"wavelength\[5\] is not above wavelength\[4\]"),
    "wavelengths in nm": (_waves(VACUUM / 10, UNIT="nm"), "one row of wavelengths in Angstrom, has .* 'nm'"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(good: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(good)
    with pytest.raises(GridFormatError, match=message) as caught:
        read("phoenix", good)
    assert str(caught.value).startswith(str(good.parent))


@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(good: Path, data: st.DataObject) -> None:
    survives(data, good, lambda path: read("phoenix", path), is_template, head=2880)


@bounded
@given(data=st.data())
def test_nor_does_a_mutation_of_the_wavelengths(good: Path, data: st.DataObject) -> None:
    def with_them(waves: Path) -> object:
        (waves.parent / good.name).write_bytes(good.read_bytes())
        return read("phoenix", waves.parent / good.name)

    survives(data, good.with_name(WAVELENGTH_FILE), with_them, is_template, head=2880)
