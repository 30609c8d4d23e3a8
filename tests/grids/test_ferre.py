"""FERRE grids: nodes in their order, wavelengths in all scales, several headers, empty nodes, and damaged files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet_hpc.errors import EmptyNodeError, GridFormatError, MissingInputError
from starnet_hpc.grids import TemplateSource, ferre, reader_for
from starnet_hpc.grids.ferre import alpha_of
from tests.fuzz import TEXT_WORDS, bounded, survives
from tests.grids.files import air_to_vacuum, ferre_header, ferre_rows, read, write_ferre
from tests.grids.templates import is_template

READER = reader_for("ferre")
ROWS = ferre_rows()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_ferre(tmp_path)


def test_the_last_dimension_is_the_fastest(good: Path) -> None:
    sources = READER.sources(good.parent)
    assert [source.name for source in sources] == [f"f_test.dat#{row}" for row in range(8)]
    for source, made in zip(sources, ROWS, strict=True):
        back = READER.read(source)
        assert back.labels == {name: made.labels[name] for name in ("teff", "logg", "feh")}
        np.testing.assert_allclose(back.flux, made.flux, rtol=6e-6)
        np.testing.assert_allclose(back.wavelength, made.wavelength, rtol=1e-14)
        assert back.resolution == 100_000.0


def test_without_a_dimension_for_it_alpha_follows_iron_and_is_no_label(good: Path) -> None:
    assert READER.label_names(good.parent) == ("teff", "logg", "feh")
    back = read("ferre", good, 0)
    assert "afe" not in back.labels
    assert back.extra["afe"] == pytest.approx(0.5 / 3)
    assert [alpha_of(feh) for feh in (-4.0, -1.5, -0.75, 0.0, 0.5)] == [0.5, 0.5, 0.25, 0.0, 0.0]


def test_with_a_dimension_for_it_alpha_is_a_label(tmp_path: Path) -> None:
    header = ferre_header(
        N_OF_DIM="4", N_P="1 2 2 2", LABEL_1="'[alpha/Fe]'", LABEL_2="'metals'", LABEL_3="'Teff'", LABEL_4="'log(g)'",
        LLIMITS="0.25 -0.5 5000 3", STEPS="0.25 0.5 500. 1.",
    )  # fmt: skip
    path = write_ferre(tmp_path, header)
    assert READER.label_names(tmp_path) == ("teff", "logg", "feh", "afe")
    back = read("ferre", path, 3)
    assert back.labels == {"teff": 5500.0, "logg": 4.0, "feh": -0.5, "afe": 0.25}
    assert "afe" not in back.extra


def test_microturbulence_is_no_label_and_elements_are(tmp_path: Path) -> None:
    header = ferre_header(
        N_OF_DIM="5", N_P="1 2 1 2 2", LABEL_1="'LOG10VDOP'", LABEL_2="'C'", LABEL_3="'METALS'", LABEL_4="'TEFF'",
        LABEL_5="'LOGG'", LLIMITS="0.30103 -0.5 -1 5000 3", STEPS="1 0.5 0.5 500. 1.",
    )  # fmt: skip
    path = write_ferre(tmp_path, header)
    assert READER.label_names(tmp_path) == ("teff", "logg", "feh", "c_fe")
    back = read("ferre", path, 7)
    assert back.labels == {"teff": 5500.0, "logg": 4.0, "feh": -1.0, "c_fe": 0.0}
    assert back.extra["vmicro"] == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(
    ("scale", "first", "step"),
    [("1", np.log10(5140.0), 4e-6), ("2", np.log(5140.0), 1e-5), ("0", 5140.0, 0.05)],
)
@pytest.mark.parametrize("vacuum", ["0", "1"])
def test_wavelengths_in_every_scale_and_medium_come_in_air(
    tmp_path: Path, scale: str, first: float, step: float, vacuum: str
) -> None:
    path = write_ferre(tmp_path, ferre_header(WAVE=f"{float(first)!r} {step!r}", LOGW=scale, VACUUM=vacuum))
    axis = float(first) + step * np.arange(801)
    expected = axis if scale == "0" else np.exp(axis * (np.log(10.0) if scale == "1" else 1.0))
    found = read("ferre", path, 0).wavelength
    np.testing.assert_allclose(air_to_vacuum(found) if vacuum == "1" else found, expected, rtol=1e-10)


def test_several_headers_describe_stretches_of_the_pixels(tmp_path: Path) -> None:
    stretches = [
        ferre_header(NPIX="401", WAVE="5140.0 0.05", RESOLUTION="90000."),
        ferre_header(NPIX="400", WAVE=f"{np.log10(5170.0):.12f} 4e-6", LOGW="1", RESOLUTION="80000."),
    ]
    path = write_ferre(tmp_path, ferre_header(MULTI="2") + "".join(stretches))
    back = read("ferre", path, 5)
    assert back.wavelength[[0, 400, 401]] == pytest.approx([5140.0, 5160.0, 5170.0])
    assert back.resolution == 80_000.0
    np.testing.assert_allclose(back.flux, ROWS[5].flux, rtol=6e-6)


@pytest.mark.parametrize(("code", "filler"), [(None, 0.0), ("-1000.0", -1000.0)])
def test_nodes_without_a_spectrum_are_told_from_damaged_ones(tmp_path: Path, code: str | None, filler: float) -> None:
    rows = [made.flux for made in ROWS]
    rows[3] = np.full(801, filler)
    path = write_ferre(tmp_path, ferre_header(INVALID_CODE=code), rows)
    with pytest.raises(EmptyNodeError, match="row 3 is a node without a spectrum"):
        read("ferre", path, 3)
    np.testing.assert_allclose(read("ferre", path, 4).flux, rows[4], rtol=6e-6)


def test_a_constant_that_was_subtracted_is_added_again(tmp_path: Path) -> None:
    path = write_ferre(tmp_path, ferre_header(CONSTANT="5e6"))
    np.testing.assert_allclose(read("ferre", path, 2).flux, ROWS[2].flux + 5e6, rtol=1e-4)


def test_of_a_node_that_two_subgrids_share_the_first_is_taken(tmp_path: Path) -> None:
    write_ferre(tmp_path, name="f_1.dat")
    write_ferre(tmp_path, ferre_header(LLIMITS="-0.5 5500. 3.0"), name="f_2.dat")
    names = [source.name for source in READER.sources(tmp_path)]
    assert names == [*(f"f_1.dat#{row}" for row in range(8)), "f_2.dat#2", "f_2.dat#3", "f_2.dat#6", "f_2.dat#7"]


def test_subgrids_that_vary_different_labels_are_refused(tmp_path: Path) -> None:
    write_ferre(tmp_path, name="f_1.dat")
    four = ferre_header(N_OF_DIM="4", N_P="2 2 2 1", LABEL_4="'ALPHA'", LLIMITS="-0.5 5000 3 0", STEPS=".5 500 1 1")
    write_ferre(tmp_path, four, name="f_2.dat")
    with pytest.raises(GridFormatError, match=r"vary different labels \(f_1.dat: teff, logg, feh; f_2.dat: .*afe\)"):
        READER.label_names(tmp_path)


def test_rows_of_different_lengths_are_found_and_the_file_is_not_parsed_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_ferre(tmp_path)
    lines = path.read_text().split("\n")
    at = len(lines) - 9
    lines[at] = "   " + lines[at] + "  "
    path.write_text("\n".join(lines) + "\n\n")
    parsed: list[int] = []
    parse = ferre.parse_numbers
    monkeypatch.setattr(ferre, "parse_numbers", lambda text: (parsed.append(len(text)), parse(text))[1])
    for row in (7, 0, 3):
        np.testing.assert_allclose(read("ferre", path, row).flux, ROWS[row].flux, rtol=6e-6)
    assert max(parsed) < 1.01 * len(lines[at])


def test_the_binary_twin_is_read_instead(tmp_path: Path) -> None:
    write_ferre(tmp_path)
    (tmp_path / "f_test.hdr").write_text(ferre_header())
    np.array([made.flux for made in ROWS], dtype="<f4").tofile(tmp_path / "f_test.unf")
    sources = READER.sources(tmp_path)
    assert {source.path.suffix for source in sources} == {".hdr"}
    assert READER.companions(sources) == [tmp_path / "f_test.unf"]
    for source, made in zip(sources, ROWS, strict=True):
        np.testing.assert_array_equal(READER.read(source).flux, made.flux)
    (tmp_path / "f_test.unf").write_bytes(b"0" * 400)
    with pytest.raises(GridFormatError, match=r"f_test.unf: has 400 bytes, but 8 nodes of 801 float32 make 25632"):
        READER.read(sources[0])
    (tmp_path / "f_test.unf").unlink()
    with pytest.raises(MissingInputError, match=r"f_test.unf: there is no such file"):
        READER.read(sources[0])


def test_the_archive_sample_is_read(shared: Path) -> None:
    sources = READER.sources(shared / "data/format_samples/mock/ferre")
    assert len(sources) == 12
    back = READER.read(sources[3])
    assert back.labels == {"teff": 4000.0, "logg": 1.0, "feh": -1.0}
    assert (back.wavelength.size, back.flux[0], back.resolution) == (200, 252_750.0, 100_000.0)


def _header(**changes: str | None) -> Callable[[Path], None]:
    return lambda path: write_ferre(path.parent, ferre_header(**changes)) and None


def _swap(old: str, new: str, count: int = 1) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text().replace(old, new, count)) and None


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "FITS": (lambda p: p.write_bytes(b"SIMPLE  =                    T" + b" " * 2850), "does not begin with &SYNTH"),
    "header only begun": (lambda p: p.write_text(p.read_text()[:100]), "its header has no end"),
    "header only": (lambda p: p.write_text(ferre_header()), "has 0 rows of fluxes"),
    "row lost": (
        lambda p: p.write_text(p.read_text().rstrip().rpartition("\n")[0]),
        r"has 7 rows of fluxes, but N_P = 2 x 2 x 2 makes 8",
    ),
    "truncated": (lambda p: p.write_text(p.read_text()[: -12 * 300]), r"row 7 has \d+ fluxes, but NPIX is 801"),
    "a word": (lambda p: p.write_text(p.read_text()[:-6] + "stars\n"), "row 7 holds something that is no number"),
    "N_P missing": (_header(N_P=None), "N_P has 0 numbers for N_OF_DIM = 3"),
    "LLIMITS missing": (_header(LLIMITS=None), "LLIMITS has 0 numbers"),
    "NPIX missing": (_header(NPIX=None), "the header lacks NPIX"),
    "N_OF_DIM missing": (_header(N_OF_DIM=None), "the header lacks N_OF_DIM"),
    "label missing": (_header(LABEL_2=None), r"the header lacks LABEL\(2\)"),
    "unknown label": (_header(LABEL_2="'AGE'"), r"LABEL\(2\) = 'AGE' has 2 nodes, but is none of the labels"),
    "no gravity": (_header(LABEL_3="'ALPHA'"), "LOGG is not among them"),
    "a label twice": (
        _header(N_OF_DIM="4", N_P="2 2 2 1", LABEL_4="'TEFF'", LLIMITS="0 1 2 3", STEPS="1 1 1 1"),
        "one is there twice",
    ),
    "text for numbers": (_header(STEPS="a b c"), "STEPS should be numbers, but is 'a b c'"),
    "not finite": (_header(STEPS="1 inf 1"), "not finite"),
    "transposed": (_header(TRANSPOSED="1"), "has TRANSPOSED"),
    "compressed": (_header(NPCA="10 10"), "has NPCA"),
    "negative counts": (_header(N_P="2 -2 2"), r"N_P is \(2, -2, 2\)"),
    "wavelengths in micrometres": (_header(WAVE="0.5 0.00001"), "gives 0.5 to .* another LOGW, or another unit"),
    "unknown scale": (_header(LOGW="3"), "LOGW is 3; expected"),
    "MULTI without headers": (_header(MULTI="1"), "or lacks one of the MULTI headers"),
    "wrong NPIX": (_header(NPIX="800"), "row 7 has 801 fluxes, but NPIX is 800"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    path = write_ferre(tmp_path)
    damage(path)
    with pytest.raises(GridFormatError, match=message) as caught:
        READER.read(TemplateSource(path, 7))
    assert str(caught.value).startswith(str(path))


def test_a_bad_flux_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [made.flux.astype(float) for made in ROWS]
    rows[5][17] = np.nan
    path = write_ferre(tmp_path, None, rows)
    with pytest.raises(GridFormatError, match=r"f_test.dat#5: flux\[17\] at 5140.850 A is nan"):
        read("ferre", path, 5)
    assert is_template(read("ferre", path, 4))


def test_a_folder_without_such_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"holds no FERRE grid \(\*.dat"):
        READER.sources(tmp_path)


@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(good: Path, data: st.DataObject) -> None:
    def any_row(path: Path) -> object:
        sources = READER.sources(path.parent)
        return READER.read(sources[-1])

    survives(data, good, any_row, is_template, head=330, words=TEXT_WORDS)


def test_vacuum_wavelengths_of_the_far_ultraviolet_stay_in_order(tmp_path: Path) -> None:
    path = write_ferre(tmp_path, ferre_header(WAVE="1500 2", VACUUM="1", RESOLUTION="0"))
    back = read("ferre", path, 0)
    optical = back.wavelength > 2000.0
    vacuum = 1500 + 2.0 * np.arange(801)
    np.testing.assert_allclose(air_to_vacuum(back.wavelength[optical]), vacuum[optical], rtol=1e-9)
    assert back.resolution is None
