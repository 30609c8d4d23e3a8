"""Files of the MPIA's tool: twins, equal and unequal abundances, and what is damaged is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import reader_for
from tests.fuzz import TEXT_WORDS, bounded, survives
from tests.grids.files import read, write_mpia
from tests.grids.templates import is_template, template

READER = reader_for("mpia_nlte")
UNEQUAL = "8 12 14 : 0.100 0.300 -0.200"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_mpia(tmp_path)


def test_labels_are_in_the_header_and_equal_abundances_are_alpha(good: Path) -> None:
    back = read("mpia_nlte", good)
    assert {name: back.labels[name] for name in ("teff", "logg", "feh", "afe")} == {
        "teff": 5777.0,
        "logg": 4.44,
        "feh": -0.5,
        "afe": 0.25,
    }
    assert back.extra == {"vmicro": 1.0, "vmacro": 0.0, "vsini": 0.0}
    np.testing.assert_allclose(back.flux, template().flux, rtol=1e-6)
    assert READER.label_names(good.parent) == ("teff", "logg", "feh", "afe")


def test_the_archive_samples_of_both_twins_are_read(shared: Path) -> None:
    folder = shared / "data/format_samples/mock/mpia"
    for grid_format, ending in (("mpia_nlte", "_N"), ("mpia_lte", "_L")):
        (source,) = reader_for(grid_format).sources(folder)
        assert source.name.endswith(ending)
        back = reader_for(grid_format).read(source)
        assert [back.labels[name] for name in ("teff", "logg", "feh", "afe")] == [5000.0, 2.5, -1.0, 0.25]
        assert back.wavelength.size == 200


def test_twins_in_one_folder_are_two_grids(tmp_path: Path) -> None:
    write_mpia(tmp_path, name="a_N")
    with pytest.raises(
        MissingInputError, match=r"holds no MPIA spectrum \(\*_L; grid.format: mpia_nlte reads the other"
    ):
        reader_for("mpia_lte").sources(tmp_path)
    write_mpia(tmp_path, name="a_L")
    assert [source.name for source in reader_for("mpia_lte").sources(tmp_path)] == ["a_L"]


def test_unequal_abundances_become_labels_by_element(tmp_path: Path) -> None:
    path = write_mpia(tmp_path, UNEQUAL, "b_N")
    assert read("mpia_nlte", path).labels == {
        "teff": 5777.0,
        "logg": 4.44,
        "feh": -0.5,
        "o_fe": 0.1,
        "mg_fe": 0.3,
        "si_fe": -0.2,
    }
    # One such file is enough: where abundances happen to be equal, the elements are known all the same.
    equal = write_mpia(tmp_path, "8 12 14 : 0.1 0.1 0.1", "a_N")
    assert READER.label_names(tmp_path) == ("teff", "logg", "feh", "o_fe", "mg_fe", "si_fe")
    assert read("mpia_nlte", equal).labels["mg_fe"] == 0.1


def test_a_damaged_file_does_not_hide_the_labels_of_the_others(tmp_path: Path) -> None:
    write_mpia(tmp_path, UNEQUAL, "b_N")
    (tmp_path / "a_N").write_text("no header")
    assert READER.label_names(tmp_path) == ("teff", "logg", "feh", "o_fe", "mg_fe", "si_fe")


def _line(number: int, new: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number - 1] = new
        path.write_text("\n".join(lines) + "\n")

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "no header": (lambda p: p.write_text("5000.0 1.0\n" * 100), "begins with 0 lines marked #, not with a header"),
    "FITS": (lambda p: p.write_bytes(b"SIMPLE  =                    T" + b" " * 2850), "begins with 0 lines"),
    "no labels": (_line(2, "# star"), r"line 2 should hold 6 numbers \(Teff, .*but is 'star'"),
    "label missing": (_line(2, "# 5777.0 4.44 -0.5 1.00"), "line 2 should hold 6 numbers"),
    "logarithm of Teff": (_line(2, "# 3.76 4.44 -0.5 1.0 0 0"), r"teff = 3.76 is not within"),
    "no abundances": (_line(9, "#"), "0 header lines look like"),
    "abundances twice": (_line(8, "# 8 12 : 0.25 0.25"), "2 header lines look like"),
    "too few abundances": (_line(9, "# 8 12 : 0.25"), "line 9 has 2 atomic numbers, but '0.25' for their abundances"),
    "abundances are text": (_line(9, "# 8 12 : a b"), "line 9 has 2 atomic numbers, but 'a b'"),
    "unknown element": (_line(9, "# 8 26 : 0.25 0.3"), "there is no label for the element with atomic number 26"),
    "column missing": (_line(15, "5140.2"), "line 15 has 1 columns, expected 2"),
    "third column": (lambda p: p.write_text(p.read_text() + "5180.05 1.0 1.0\n"), "line 812 has 3 columns, expected 2"),
    "a word": (_line(15, "5140.2 bright"), "line 15: 'bright' is no number"),
    "NaN flux": (_line(15, "5140.2 nan"), r"flux\[4\] at 5140.200 A is nan"),
    "repeated wavelength": (_line(15, "5140.15 1.0"), r"wavelength\[4\] = 5140.1500 A repeats wavelength\[3\]"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_place_and_kind(good: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(good)
    with pytest.raises(GridFormatError, match=message) as caught:
        read("mpia_nlte", good)
    assert str(caught.value).startswith(str(good))


@bounded
@given(data=st.data())
def test_no_mutation_of_bytes_gives_anything_but_a_spectrum_or_our_error(good: Path, data: st.DataObject) -> None:
    survives(data, good, lambda path: read("mpia_nlte", path), is_template, head=400, words=TEXT_WORDS)
