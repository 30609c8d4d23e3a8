"""INTRIGOSS files: what is written is read back, others' files are read, and what is damaged is named."""

import gzip
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import TemplateSource, TemplateSpectrum, reader_for, write_intrigoss
from tests.fuzz import bounded, survives
from tests.grids.templates import SUN, is_template, template

READER = reader_for("intrigoss")


def read(path: Path) -> TemplateSpectrum:
    return READER.read(TemplateSource(path))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_intrigoss(tmp_path, template())


def decimals(low: float, high: float) -> st.SearchStrategy[float]:
    """Labels as grids have them; a FITS card has room for 16 digits, not for every float."""
    return st.floats(low, high).map(lambda value: round(value, 6))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    teff=decimals(3000, 9000),
    logg=decimals(-0.9, 5.5),
    feh=decimals(-4, 0.9),
    afe=decimals(-0.5, 0.9),
    single=st.booleans(),
)
def test_what_is_written_is_read_back_exactly(
    tmp_path: Path, teff: float, logg: float, feh: float, afe: float, single: bool
) -> None:
    made = template(teff=teff, logg=logg, feh=feh, afe=afe)
    flux = made.flux if single else made.flux.astype(np.float64) / 3.0
    path = write_intrigoss(
        tmp_path, TemplateSpectrum(made.wavelength, flux, made.labels, "", {"vmicro": 1.7}), overwrite=True
    )
    back = read(path)
    np.testing.assert_array_equal(back.wavelength, made.wavelength)
    np.testing.assert_array_equal(back.flux, flux)
    assert back.labels == made.labels
    assert back.extra == {"vmicro": 1.7}
    assert back.source == path.name


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "by astropy"])
def test_a_true_continuum_goes_with_the_template(tmp_path: Path, compressed: bool) -> None:
    made = template()
    continuum = np.linspace(2e7, 3e7, made.flux.size)
    path = write_intrigoss(tmp_path, replace(made, continuum=continuum))
    if compressed:
        path = path.with_suffix(".fits.gz")
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    back = read(path)
    assert back.continuum is not None
    np.testing.assert_allclose(back.continuum, continuum, rtol=1e-7)
    np.testing.assert_array_equal(back.flux, made.flux)


def test_files_without_a_continuum_have_none(good: Path) -> None:
    assert read(good).continuum is None


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_a_continuum_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    path = write_intrigoss(tmp_path, replace(template(), continuum=np.ones(template().flux.size)))
    _set("continuum", 17, value)(path)
    with pytest.raises(GridFormatError, match=r"continuum\[17\] at 5140.850 A is .*leave the continuum out"):
        read(path)


def test_names_are_those_of_the_archive(tmp_path: Path) -> None:
    path = write_intrigoss(tmp_path, template(teff=4000, logg=1.0, feh=-1.0, afe=0.5))
    assert path.name == "alpp050_am100_t4000g10_v1_f.fits"
    assert write_intrigoss(tmp_path, template(logg=0.5, feh=0.0, afe=-0.05)).name == "alpm005_ap000_t5777g05_v1_f.fits"


def test_the_archive_sample_is_read(shared: Path) -> None:
    back = read(shared / "data/format_samples/mock/intrigoss/alpp050_am100_t4000g10_v1_f.fits")
    assert back.labels == {"teff": 4000.0, "logg": 1.0, "feh": -1.0, "afe": 0.5}
    assert back.wavelength.size == 200


def test_files_of_the_reference_grid_give_its_labels_and_fluxes(shared: Path, tmp_path: Path) -> None:
    tool = [sys.executable, str(shared / "tools/write_grid_files.py"), "intrigoss", str(tmp_path)]
    subprocess.run([*tool, "--count", "3", "--wmin", "5150", "--wmax", "5200"], check=True, capture_output=True)
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        wavelength, labels = data["wl"], data["par"][:3]
        nodes = [np.interp(wavelength, wavelength[::50], continuum) for continuum in data["cont"][:3]]
        flux = data["norm"][:3] / 65535.0 * np.array(nodes)
    inside = (wavelength >= 5150) & (wavelength <= 5200)
    found = {tuple(back.labels.values()): back for back in map(READER.read, READER.sources(tmp_path))}
    for row in range(3):
        back = found[tuple(labels[row, :4])]
        np.testing.assert_array_equal(back.wavelength, wavelength[inside])
        np.testing.assert_allclose(back.flux, flux[row, inside], rtol=2e-7)  # the files hold float32
        assert back.extra["vmicro"] == labels[row, 4]


def test_templates_that_round_to_the_same_name_do_not_replace_each_other(tmp_path: Path) -> None:
    write_intrigoss(tmp_path, template(teff=5000.0))
    with pytest.raises(GridFormatError, match="is there already"):
        write_intrigoss(tmp_path, template(teff=5000.2))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("5000.0 1.0\n" * 100)


def _edit(change: Callable[[fits.HDUList], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with fits.open(path, mode="update") as hdus:
            change(hdus)

    return damage


def _set(column: str, row: int, value: float) -> Callable[[Path], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus[1].data[column][row] = value

    return _edit(change)


def _overwrite(old: bytes, new: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new)) and None


def _drop_table(path: Path) -> None:
    fits.PrimaryHDU(header=fits.getheader(path)).writeto(path, overwrite=True)


def _image_instead(path: Path) -> None:
    head = fits.PrimaryHDU(header=fits.getheader(path))
    fits.HDUList([head, fits.ImageHDU(np.ones((2, 50)))]).writeto(path, overwrite=True)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_cut, r"is truncated: HDU 1 should end at byte \d+, the file has \d+"),
    "empty": (_empty, r"is empty \(0 bytes\)"),
    "text": (_text, "is not a FITS file"),
    "keyword missing": (_edit(lambda h: h[0].header.remove("LOG_G")), "lacks keyword LOG_G"),
    "keyword is text": (_edit(lambda h: h[0].header.set("TEFF", "hot")), "TEFF should be a number, but is 'hot'"),
    "logarithm of Teff": (_edit(lambda h: h[0].header.set("TEFF", 3.76)), r"teff = 3.76 is not within"),
    "axes without end": (
        _overwrite(b"NAXIS   =                    0", b"NAXIS   =            999999990"),
        "NAXIS is 999999990",
    ),
    "columns without end": (
        _overwrite(b"TFIELDS =                    2", b"TFIELDS =             99999999"),
        "TFIELDS is 99999999",
    ),
    "no table": (_drop_table, "has no HDU 1"),
    "an image": (_image_instead, "has no column wavelength"),
    "column renamed": (_edit(lambda h: h[1].columns.change_name("surface_flux", "flux")), "no column surface_flux"),
    "unit": (_edit(lambda h: h[1].columns.change_unit("wavelength", "nm")), "is in 'nm'"),
    "NaN flux": (_set("surface_flux", 17, np.nan), r"flux\[17\] at 5140.850 A is nan"),
    "infinite flux": (_set("surface_flux", 3, np.inf), r"flux\[3\] at 5140.150 A is inf"),
    "negative flux": (_set("surface_flux", 0, -1.0), r"flux\[0\] at 5140.000 A is -1"),
    "zero flux": (_set("surface_flux", 800, 0.0), r"flux\[800\] at 5180.000 A is 0"),
    "NaN wavelength": (_set("wavelength", 5, np.nan), r"wavelength\[5\] is nan"),
    "repeated wavelength": (_set("wavelength", 11, 5140.5), r"wavelength\[11\] = 5140.5000 A repeats wavelength\[10\]"),
    "wavelengths out of order": (_set("wavelength", 11, 5140.1), r"wavelength\[11\] = 5140.1000 A is smaller than"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(good: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(good)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # astropy's warnings must not reach the user
        with pytest.raises(GridFormatError, match=message) as caught:
            read(good)
    assert str(caught.value).startswith(str(good))


@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(good: Path, data: st.DataObject) -> None:
    survives(data, good, read, is_template, head=8640)


def test_a_folder_that_is_missing_empty_or_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"grid.path: there is no folder .*/nowhere"):
        READER.sources(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="holds no FITS file"):
        READER.sources(tmp_path)
    (tmp_path / "on_grid").mkdir()
    with pytest.raises(MissingInputError, match=r"did you mean one of them\?") as caught:
        READER.sources(tmp_path)
    assert "on_grid" in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(MissingInputError, match="is a file"):
        READER.sources(tmp_path / "file")


def test_permission_denied_is_said(good: Path) -> None:
    good.chmod(0)
    as_root = os.geteuid() == 0
    if as_root:  # root may read everything; anybody else may not
        good.parent.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(GridFormatError, match="permission denied"):
            read(good)
    finally:
        if as_root:
            os.seteuid(0)


def test_sources_are_the_fits_files_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.fits", "a.FITS", "c.fit", "README.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "off_grid_spectra").mkdir()
    assert [source.name for source in READER.sources(tmp_path)] == ["a.FITS", "b.fits", "c.fit"]


def test_compressed_files_are_read(good: Path) -> None:
    packed = good.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(good.read_bytes()))
    np.testing.assert_array_equal(read(packed).flux, read(good).flux)
    packed.write_bytes(gzip.compress(good.read_bytes())[:2000])
    with pytest.raises(GridFormatError, match="is it truncated"):
        read(packed)


def test_labels_have_the_units_of_the_package(good: Path) -> None:
    assert dict(read(good).labels) == SUN
