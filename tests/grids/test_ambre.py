"""AMBRE and POLLUX files: labels in names or keywords, two fluxes, windows of long files, and damaged ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import reader_for
from starnet_hpc.grids.ambre import continuum_from
from tests.fuzz import TEXT_WORDS, bounded, survives
from tests.grids.files import read, write_ambre
from tests.grids.templates import is_template, template

READER = reader_for("ambre")
POLLUX = "M_s5500g1.5z-0.25t1.0_a-0.10c0.00n0.00o0.00r0.00s0.00_VIS.spec"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_ambre(tmp_path)


def pollux(folder: Path, columns: int = 2, keywords: str | None = None, name: str = POLLUX) -> Path:
    made = template()
    table = np.c_[made.wavelength, made.flux, made.flux / made.flux.max()][:, :columns]
    np.savetxt(folder / name, table, fmt="%.3f %.6e %.6e"[: 5 * columns - 1])
    if keywords is not None:
        (folder / f"{name}.txt").write_text(keywords)
    return folder / name


KEYWORDS = "".join(
    f"{key} \t= '{value}'\t\t/ what it is\n"
    for key, value in {"Teff": 5600, "logg": "1.5", "metallic": "0.5", "alpha": "0.1", "turbvel_Vmin": "2.0"}.items()
)


def test_labels_are_in_the_name_and_the_absolute_flux_is_last(good: Path) -> None:
    back = read("ambre", good)
    assert back.labels == {"teff": 5777.0, "logg": 4.4, "feh": -0.5, "afe": 0.2}
    assert back.extra == {"vmicro": 1.0}
    np.testing.assert_allclose(back.flux, template().flux, rtol=1e-6)
    np.testing.assert_allclose(back.continuum, template().flux.max(), rtol=1e-5)


@pytest.mark.parametrize("first", ["p", "s"])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_both_geometries_and_both_signs_are_read(tmp_path: Path, first: str, sign: str) -> None:
    path = write_ambre(tmp_path, name=f"{first}3500:g{sign}0.5:m1.0:t02:z{sign}0.25:a{sign}0.40.AMBRE_extra.AMBRE")
    number = float(f"{sign}1")
    assert list(read("ambre", path).labels.values()) == [3500.0, 0.5 * number, 0.25 * number, 0.4 * number]


def test_where_the_normalised_flux_is_rounded_to_nothing_the_continuum_is_interpolated() -> None:
    flux, normalised = np.array([2.0, 1.0, 0.1, 3.0]), np.array([1.0, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(continuum_from(flux, normalised), [2.0, 2.0, 2.5, 3.0])
    assert continuum_from(flux, 0 * flux) is None


def test_the_archive_samples_are_read(shared: Path) -> None:
    folder = shared / "data/format_samples"
    (source,) = READER.sources(folder / "mock/ambre")
    back = READER.read(source)
    assert back.labels == {"teff": 5000.0, "logg": 4.0, "feh": -0.5, "afe": 0.2}
    assert back.continuum is not None
    assert back.continuum[0] == back.flux[0] == 250_000.0


def test_real_files_of_pollux_are_read_with_what_its_service_did_to_them(shared: Path) -> None:
    found = {source.name: READER.read(source) for source in READER.sources(shared / "data/format_samples/ambre")}
    assert len(found) == 11
    kept = found["CONV_R9_L6562_W200._S-16.8_M_s5750g1.0z-0.50t2.0_a-0.20c0.00n0.00o0.00r0.00s0.00_VIS.spec"]
    assert kept.labels == {"teff": 5750.0, "logg": 1.0, "feh": -0.5, "afe": -0.2}
    assert kept.extra == {"vmicro": 2.0, "vsini": 9.0, "vrad": -16.8}
    assert kept.wavelength[[0, -1]] == pytest.approx([6462.0, 6662.0])
    with_keywords = next(name for name in found if "L4861_W500._M_s5500" in name)
    assert found[with_keywords].labels == {"teff": 5500.0, "logg": 1.5, "feh": 0.0, "afe": 0.0}


def test_polluxs_keywords_go_before_the_name(tmp_path: Path) -> None:
    assert read("ambre", pollux(tmp_path)).labels == {"teff": 5500.0, "logg": 1.5, "feh": -0.25, "afe": -0.1}
    path = pollux(tmp_path, keywords=KEYWORDS)
    assert read("ambre", path).labels == {"teff": 5600.0, "logg": 1.5, "feh": 0.5, "afe": 0.1}
    sources = READER.sources(tmp_path)
    assert [source.path for source in sources] == [path]
    assert READER.companions(sources) == [path.with_name(f"{path.name}.txt")]


def test_keywords_say_which_of_two_columns_is_the_flux(tmp_path: Path) -> None:
    with pytest.raises(GridFormatError, match=r"has 3 columns, and no .*spec.txt says which of them is the flux"):
        read("ambre", pollux(tmp_path, columns=3))
    told = KEYWORDS + "column2 = 'absolute flux'  / erg\ncolumn3 = 'normalized flux'  /\n"
    np.testing.assert_allclose(read("ambre", pollux(tmp_path, 3, told)).flux, template().flux, rtol=1e-6)


def test_a_window_of_a_long_file_is_what_the_whole_file_has_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    made = template(low=4000.0, high=6000.0, step=0.1)
    path = tmp_path / write_ambre(tmp_path, made).name
    lines = path.read_text().splitlines()
    # Lines of different lengths, as files without fixed columns have them.
    path.write_text(
        "\n".join(line + " " * int(blanks) for line, blanks in zip(lines, rng.integers(0, 9, 20_001), strict=True))
        + "\n"
    )
    whole = read("ambre", path)
    for low, high in ((4000, 4001), (5000, 5100), (5999, 6000), (3000, 3100), (6500, 6600), (3000, 9000)):
        part = read("ambre", path, window=(low, high))
        inside = (whole.wavelength >= part.wavelength[0]) & (whole.wavelength <= part.wavelength[-1])
        np.testing.assert_array_equal(part.flux, whole.flux[inside])
        if 4000 < low < high < 6000:
            assert 80 <= np.searchsorted(part.wavelength, low) < 600
            assert 80 <= part.wavelength.size - np.searchsorted(part.wavelength, high) < 600


def test_a_file_cut_in_the_middle_of_a_line_is_found_out_without_reading_it_all(tmp_path: Path) -> None:
    path = write_ambre(tmp_path, template(low=4000.0, high=6000.0, step=0.1))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(GridFormatError, match=r"ends in the middle of a line .* truncated"):
        read("ambre", path, window=(4100.0, 4200.0))


def _line(number: int, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number - 1] = change(lines[number - 1])
        path.write_text("\n".join(lines) + "\n")

    return damage


def _rename(path: Path) -> None:
    path.write_bytes(path.read_bytes())


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-20]), r"line 801 has 2 columns, expected 3 .*truncated"),
    "empty": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "blank": (lambda p: p.write_bytes(b"\n \n"), "holds no lines of 3 or 4 or 5 or 6 numbers"),
    "FITS": (lambda p: p.write_bytes(b"SIMPLE  =                    T" + b" " * 2850), "line 1: 'SIMPLE' is no number"),
    "binary": (lambda p: p.write_bytes(bytes(range(256)) * 20), "line 1"),
    "column missing": (_line(7, lambda line: line[:20]), r"line 7 has 2 columns, expected 3"),
    "two columns": (
        lambda p: np.savetxt(p, np.loadtxt(p)[:, :2]),
        "line 1 has 2 columns, expected 3 or 4 or 5 or 6",
    ),
    "a word": (_line(9, lambda line: line.replace("5140.4", "514O.4")), r"line 9: '514O.4000' is no number"),
    "stars": (_line(9, lambda line: line[:-6] + "******"), r"line 9: .*\*+' is no number"),
    "NaN flux": (_line(18, lambda line: line[:24] + " nan"), r"flux\[17\] at 5140.850 A is nan"),
    "negative flux": (_line(1, lambda line: line[:24] + " -1.0"), r"flux\[0\] at 5140.000 A is -1"),
    "repeated wavelength": (_line(12, lambda line: line.replace("5140.55", "5140.50")), r"repeats wavelength\[10\]"),
    "out of order": (_line(12, lambda line: line.replace("5140.55", "5140.10")), r"\[11\] = 5140.1000 A is smaller"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(good: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(good)
    with pytest.raises(GridFormatError, match=message) as caught:
        read("ambre", good)
    assert str(caught.value).startswith(str(good))


def test_a_name_without_labels_is_refused(tmp_path: Path) -> None:
    path = write_ambre(tmp_path, name="sun.AMBRE")
    with pytest.raises(GridFormatError, match=r"the name does not say the labels as p5000:g\+4.0"):
        read("ambre", path)
    path = pollux(tmp_path, name="sun.spec")
    with pytest.raises(GridFormatError, match=r"there is no sun.spec.txt with its keywords"):
        read("ambre", path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("Teff", "Toff", "lacks keyword Teff"), ("'5600'", "'hot'", "keyword Teff should be a number, but is 'hot'")],
)
def test_damaged_keywords_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = pollux(tmp_path, keywords=KEYWORDS.replace(old, new))
    with pytest.raises(GridFormatError, match=rf"spec\.txt: {message}"):
        read("ambre", path)


def test_a_folder_without_such_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"holds no AMBRE file"):
        READER.sources(tmp_path)


def test_fortran_exponents_are_understood(good: Path) -> None:
    expected = read("ambre", good)
    good.write_text(good.read_text().replace("e+", "D+"))
    np.testing.assert_array_equal(read("ambre", good).flux, expected.flux)


@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(good: Path, data: st.DataObject) -> None:
    window = (5150.0, 5160.0) if data.draw(st.booleans()) else None
    survives(data, good, lambda p: read("ambre", p, window=window), is_template, head=2000, words=TEXT_WORDS)
