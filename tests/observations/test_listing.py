"""Manifests: three kinds of file, one listing; what is wrong in them is named by row and column."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table
from pyarrow import parquet

from starnet_hpc.config import SurveyConfig
from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.labels import LABELS
from starnet_hpc.observations import Listing, listing_of, write_eso_sdp

ROWS: dict[str, list[Any]] = {
    "path": ["a.fits", "sub/b.fits", "c.fits"],
    "id": ["Sun", "HD 1", "NGC 1"],
    "snr": [100.0, np.nan, 7.5],
    "group": ["MRD", "MRG", ""],
    "teff": [5777.0, np.nan, 4000.0],
    "e_teff": [1.0, np.nan, 80.0],
    "feh": [0.0, -1.5, np.nan],
}


def csv(path: Path, rows: dict[str, list[Any]]) -> Path:
    def cell(value: Any) -> str:
        return "" if isinstance(value, float) and np.isnan(value) else str(value)

    lines = [",".join(rows), *(",".join(map(cell, values)) for values in zip(*rows.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")  # as spreadsheets write it
    return path


def write(path: Path, rows: dict[str, list[Any]]) -> Path:
    if path.suffix == ".fits":
        Table(rows).write(path)
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table(rows), path)
    else:
        csv(path, rows)
    return path


def listed(manifest: Path, **survey: Any) -> Listing:
    return listing_of(SurveyConfig(manifest=manifest, **survey))


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_every_kind_of_manifest_says_the_same(tmp_path: Path, suffix: str) -> None:
    listing = listed(write(tmp_path / f"manifest{suffix}", ROWS))
    assert listing.paths == (tmp_path / "a.fits", tmp_path / "sub/b.fits", tmp_path / "c.fits")
    assert listing.ids == ("Sun", "HD 1", "NGC 1")
    assert listing.group == ("MRD", "MRG", "")
    np.testing.assert_array_equal(listing.snr, ROWS["snr"])
    names = list(LABELS)
    np.testing.assert_array_equal(listing.reference[:, names.index("teff")], ROWS["teff"])
    np.testing.assert_array_equal(listing.reference[:, names.index("feh")], ROWS["feh"])
    np.testing.assert_array_equal(listing.reference_error[:, names.index("teff")], ROWS["e_teff"])
    assert np.isnan(listing.reference[:, names.index("vrad")]).all()
    assert listing.ignored == ()


def test_only_the_path_is_needed(tmp_path: Path) -> None:
    listing = listed(csv(tmp_path / "m.csv", {"path": ["x/first.fits", "second.fits.gz"]}))
    assert listing.ids == ("first", "second")
    assert np.isnan(listing.snr).all()
    assert listing.group == ("", "")


def test_paths_are_relative_to_the_folder_if_one_is_given(tmp_path: Path) -> None:
    listing = listed(csv(tmp_path / "m.csv", {"path": ["a.fits"]}), path=tmp_path / "data")
    assert listing.paths == (tmp_path / "data" / "a.fits",)


def test_a_folder_alone_lists_its_files(tmp_path: Path) -> None:
    for name in ("b.fits", "a.fits"):
        (tmp_path / name).touch()
    listing = listing_of(SurveyConfig(path=tmp_path))
    assert listing.ids == ("a", "b")
    assert listing.reference.shape == (2, len(LABELS))


def test_columns_that_nothing_reads_are_told(tmp_path: Path) -> None:
    assert listed(csv(tmp_path / "m.csv", {"Path": ["a.fits"], "Tef": [5000]})).ignored == ("Tef",)


def test_a_signal_to_noise_ratio_of_zero_is_unknown(tmp_path: Path) -> None:
    assert np.isnan(listed(csv(tmp_path / "m.csv", {"path": ["a.fits"], "snr": [0]})).snr).all()


def test_identifiers_that_repeat_are_listed(tmp_path: Path) -> None:
    rows = {"path": ["a.fits", "b.fits", "c.fits", "d.fits"], "id": ["x", "y", "x", "y"]}
    with pytest.raises(ObservationFormatError, match=r"2 occur more than once: x, y; give each row a name of"):
        listed(csv(tmp_path / "m.csv", rows))
    for name in ("a.fits", "a.fit"):
        (tmp_path / name).touch()
    with pytest.raises(ObservationFormatError, match=r"1 occur more than once: a; rename the files"):
        listing_of(SurveyConfig(path=tmp_path))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"fichier": ["a"]}, r"has no column `path` \(or path, file, filename, .*columns: fichier"),
        ({"path": ["a", ""], "group": ["x", "y"]}, "row 2 has no `path`"),
        ({"path": ["a", "b"], "id": ["x", ""]}, "row 2 has no `id`"),
        ({"path": ["a"], "teff": ["hot"]}, "row 1: teff is 'hot', expected a number"),
        ({"path": ["a"], "teff": [-9999]}, r"row 1: teff = -9999 is outside 500 to 100000; leave the cell empty"),
        ({"path": ["a"], "e_logg": [-1]}, r"row 1: e_logg = -1 is outside 0 to inf"),
        ({"path": ["a"], "Path": ["b"]}, "two columns have the same name"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, rows: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(ObservationFormatError, match=message):
        listed(csv(tmp_path / "m.csv", rows))


def test_files_that_are_no_manifest_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"survey\.manifest: there is no file"):
        listed(tmp_path / "none.csv")
    with pytest.raises(MissingInputError, match="lists no spectrum"):
        listed(csv(tmp_path / "header_only.csv", {"path": []}))
    text = tmp_path / "m.txt"
    text.touch()
    with pytest.raises(ObservationFormatError, match=r"a manifest is a \.csv, \.fits or \.parquet file"):
        listed(text)
    for name, content in {"m.parquet": b"PAR1 no", "m.fits": b"no", "m.csv": b"path\n\xff\xfe"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ObservationFormatError, match=name):
            listed(tmp_path / name)
    (tmp_path / "ragged.csv").write_text("path,id\na.fits\n")
    with pytest.raises(ObservationFormatError, match="line 2 has 1 cells, the header has 2"):
        listed(tmp_path / "ragged.csv")


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_the_columns_of_surveys_are_known_by_their_own_names(tmp_path: Path, suffix: str) -> None:
    """Gaia-ESO's catalogue as it comes, and headings that people write."""
    ges = {
        "CNAME": ["1", "2"], "OBJECT": ["a", "b"], "FILENAME": ["a.fits", "b.fits"], "GES_TYPE": ["GE_MW", "GE_CL"],
        "TEFF": [5777.0, np.nan], "E_TEFF": [60.0, np.nan], "LOGG": [4.4, np.nan], "FEH": [0.0, -1.0],
        "VRAD": [12.0, -3.0], "E_VRAD": [0.4, 0.4], "VROT": [2.0, np.nan], "XI": [1.0, 1.1], "SNR": [90.0, 20.0],
    }  # fmt: skip
    listing = listed(write(tmp_path / f"ges{suffix}", ges))
    assert listing.ids == ("1", "2")
    assert [path.name for path in listing.paths] == ["a.fits", "b.fits"]
    assert listing.group == ("GE_MW", "GE_CL")
    assert listing.snr.tolist() == [90.0, 20.0]
    np.testing.assert_array_equal(listing.reference[0], [5777.0, 4.4, 0.0, np.nan, 2.0, 12.0])
    np.testing.assert_array_equal(listing.reference_error[0], [60.0, np.nan, np.nan, np.nan, np.nan, 0.4])
    assert listing.ignored == ("OBJECT", "XI")
    named = {"File": ["a"], "Star": ["x"], "[Fe/H]": [-0.1], "[Fe/H]_err": [0.1], "log g": [4.0], "S/N": [7.0]}
    listing = listed(csv(tmp_path / "own.csv", named))
    assert listing.reference[0, [1, 2]].tolist() == [4.0, -0.1]
    assert listing.reference_error[0, 2] == 0.1
    assert (listing.ids, listing.ignored) == (("x",), ())


def test_a_catalogue_without_paths_is_matched_with_the_headers_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "spectra").mkdir()
    wavelength = 5000.0 + 0.02 * np.arange(50)
    for name, star in {"ADP.1": "star B", "ADP.2": "star A", "ADP.3": "unlisted"}.items():
        write_eso_sdp(tmp_path / "spectra" / f"{name}.fits", wavelength, np.ones(50), object_name=star)
    rows = {"CNAME": ["star A", "star B", "star C"], "TEFF": [4000.0, 5000.0, 6000.0], "SNR": [10.0, 20.0, 30.0]}
    catalogue = write(tmp_path / "cat.fits", rows)
    listing = listed(catalogue, path=tmp_path / "spectra")
    assert listing.ids == ("star B", "star A", "ADP.3")
    np.testing.assert_array_equal(listing.reference[:, 0], [5000.0, 4000.0, np.nan])
    np.testing.assert_array_equal(listing.snr, [20.0, 10.0, np.nan])
    assert [remark.split(" in ")[0].split(" star in")[0] for remark in listing.remarks] == [
        "1 of 3 files are of no star",
        "1 of 3 stars",
    ]
    write_eso_sdp(tmp_path / "spectra" / "ADP.4.fits", wavelength, np.ones(50), object_name="star A")
    with pytest.raises(ObservationFormatError, match=r"1 occur more than once: star A; several files are of one star"):
        listed(catalogue, path=tmp_path / "spectra")
    with pytest.raises(ObservationFormatError, match=r"no file's header \(OBJECT\) or own name .* such as x"):
        listed(csv(tmp_path / "other.csv", {"id": ["x"]}), path=tmp_path / "spectra")
    with pytest.raises(MissingInputError, match="lists no star"):
        listed(csv(tmp_path / "none.csv", {"id": []}), path=tmp_path / "spectra")
    (tmp_path / "spectra" / "x.fits").write_bytes(b"damaged")  # found by its name; reading it will say the rest
    assert listed(csv(tmp_path / "other.csv", {"id": ["x"], "snr": [9]}), path=tmp_path / "spectra").snr[-1] == 9


def test_a_folder_is_searched_for_the_files_of_a_format_or_for_fits_first(tmp_path: Path) -> None:
    for name in ("a.fits", "b.s", "c.txt", "._a.fits", "notes.md"):
        (tmp_path / name).touch()
    (tmp_path / "d.fits").mkdir()
    assert listing_of(SurveyConfig(path=tmp_path)).ids == ("a",)
    assert listing_of(SurveyConfig(path=tmp_path, format="text")).ids == ("b", "c")
    assert listing_of(SurveyConfig(path=tmp_path, format="specutils")).ids == ("a", "b", "c", "notes")
    (tmp_path / "a.fits").unlink()
    assert listing_of(SurveyConfig(path=tmp_path)).ids == ("b", "c")
    with pytest.raises(MissingInputError, match=r"holds no spectrum \(\*\.fits, .*did you mean one of them"):
        listing_of(SurveyConfig(path=tmp_path, format="harps"))


def test_files_are_listed_without_a_look_at_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's own records say what is a file; a call for each of 100,000 takes minutes on a shared file system."""
    for number in range(500):
        (tmp_path / f"{number:05d}.fits").touch()
    looks: list[str] = []
    real = os.stat

    def noted(path: object, **more: Any) -> os.stat_result:
        if str(path).endswith(".fits"):  # threads of other tests may look at files of theirs meanwhile
            looks.append(str(path))
        return real(path, **more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr("os.stat", noted)
    listing = listing_of(SurveyConfig(path=tmp_path))
    monkeypatch.undo()
    assert len(listing) == 500
    assert looks == []


def test_the_published_benchmark_stars_make_a_manifest(shared: Path, tmp_path: Path) -> None:
    rows = (shared / "data/labels/benchmark17.csv").read_text().replace("star,group", "path,group", 1)
    (tmp_path / "m.csv").write_text(rows)
    listing = listed(tmp_path / "m.csv")
    sun = listing.ids.index("Sun")
    assert listing.reference[sun, :4].tolist() == [5771.0, 4.438, 0.03, -0.03]
    assert listing.group[sun] == "MRD"
