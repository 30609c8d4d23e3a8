"""Tables beside arrays: every kind of either, media and units, and what is damaged or missing is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import zarr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet

from starnet_hpc.errors import GridFormatError, MissingInputError
from starnet_hpc.grids import TemplateSource, reader_for
from starnet_hpc.ingest import ingest
from starnet_hpc.stores import open_store
from tests.fuzz import TEXT_WORDS, bounded, survives
from tests.grids.files import air_to_vacuum
from tests.grids.templates import is_template, template
from tests.ingest.cases import experiment

READER = reader_for("table")
MADE = [template(teff=teff, feh=-0.5) for teff in (4500.0, 5000.0, 5500.0)]
LABELS: dict[str, Any] = {
    "Teff": [4500.0, 5000.0, 5500.0],
    "feh": [-0.5] * 3,
    "vmicro": [1.0, 1.5, 2.0],
    "note": ["a"] * 3,
}
ARRAYS: dict[str, Any] = {"wavelength": MADE[0].wavelength, "flux": np.array([made.flux for made in MADE])}
NOTES: dict[str, Any] = {"medium": "air", "unit": "Angstrom"}


def write_labels(folder: Path, kind: str, columns: dict[str, Any]) -> Path:
    path = folder / f"labels.{kind}"
    if kind == "fits":
        made = [fits.Column(n, "D" if n != "note" else "2A", array=np.array(v)) for n, v in columns.items()]
        fits.BinTableHDU.from_columns(made).writeto(path, overwrite=True)
    elif kind == "csv":
        csv.write_csv(pa.table(columns), path)
    else:
        parquet.write_table(pa.table(columns), path)
    return path


def write_spectra(folder: Path, kind: str, arrays: dict[str, Any], notes: dict[str, Any]) -> Path:
    path = folder / f"spectra.{kind}"
    if kind == "npz":
        np.savez(path, **arrays, **notes)
    elif kind == "zarr":
        group = zarr.open_group(path, mode="w")
        for name, values in arrays.items():
            group.create_array(name, data=values)
        group["wavelength"].attrs.update(notes)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
            file.attrs.update(notes)
    return path


def write(folder: Path, spectra: str = "npz", labels: str = "csv", **changes: Any) -> Path:
    """Write a grid; `columns`, `arrays` and `notes` replace those that are good."""
    folder.mkdir(parents=True, exist_ok=True)
    write_labels(folder, labels, changes.get("columns", LABELS))
    return write_spectra(folder, spectra, changes.get("arrays", ARRAYS), changes.get("notes", NOTES))


@pytest.mark.parametrize("spectra", ["npz", "zarr", "h5", "hdf5"])
@pytest.mark.parametrize("labels", ["csv", "fits", "parquet"])
def test_rows_are_templates(tmp_path: Path, spectra: str, labels: str) -> None:
    path = write(tmp_path, spectra, labels)
    assert READER.label_names(tmp_path) == ("teff", "feh")
    sources = READER.sources(tmp_path)
    assert [source.name for source in sources] == [f"{path.name}#{row}" for row in range(3)]
    assert tmp_path / f"labels.{labels}" in READER.companions(sources)
    for row, source in enumerate(sources):
        back = READER.read(source)
        assert back.labels == {"teff": LABELS["Teff"][row], "feh": -0.5}
        assert back.extra == {"vmicro": LABELS["vmicro"][row]}
        np.testing.assert_array_equal(back.wavelength, MADE[row].wavelength)
        np.testing.assert_array_equal(back.flux, MADE[row].flux)
        part = READER.read(source, (5150.0, 5150.5))
        assert part.flux.dtype == np.float32
        np.testing.assert_array_equal(part.flux, back.flux[np.isin(back.wavelength, part.wavelength)])
        assert part.wavelength.size < 200


@pytest.mark.parametrize(("unit", "factor"), [("nm", 0.1), ("um", 1e-4), ("angstrom", 1.0), ("AA", 1.0)])
@pytest.mark.parametrize("spectra", ["npz", "zarr", "h5"])
def test_units_and_vacuum_are_converted(tmp_path: Path, unit: str, factor: float, spectra: str) -> None:
    arrays = {**ARRAYS, "wavelength": air_to_vacuum(MADE[0].wavelength) * factor}
    write(tmp_path, spectra, arrays=arrays, notes={"medium": "vacuum", "unit": unit})
    back = READER.read(READER.sources(tmp_path)[1])
    np.testing.assert_allclose(back.wavelength, MADE[1].wavelength, atol=1e-6)


@pytest.mark.parametrize("spectra", ["npz", "zarr", "h5"])
def test_continuum_resolution_and_elements_are_handed_on(tmp_path: Path, spectra: str) -> None:
    arrays = {**ARRAYS, "continuum": 2.0 * ARRAYS["flux"]}
    notes = {**NOTES, "resolution": 80_000.0}
    write(tmp_path, spectra, arrays=arrays, notes=notes, columns={**LABELS, "Mg_Fe": [0.1, 0.2, 0.3]})
    assert READER.label_names(tmp_path) == ("teff", "feh", "mg_fe")
    back = READER.read(READER.sources(tmp_path)[2])
    np.testing.assert_array_equal(back.continuum, 2.0 * MADE[2].flux)
    assert (back.resolution, back.labels["mg_fe"]) == (80_000.0, 0.3)


def test_ingest_makes_a_store_of_them_and_notices_other_labels(tmp_path: Path) -> None:
    write(tmp_path / "grid", "zarr")
    store = open_store(ingest(experiment(tmp_path, grid={"format": "table"})), made_by="ingest")
    assert store.label_names == ("teff", "feh")
    assert store.column("labels").tolist() == [[teff, -0.5] for teff in LABELS["Teff"]]
    np.testing.assert_allclose(store.read(0, 3).max(axis=1), [made.flux.max() for made in MADE], rtol=1e-3)


def _without(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


def _with(array: str, index: Any, value: float) -> dict[str, Any]:
    changed = np.array(ARRAYS[array], dtype=np.float64)
    changed[index] = value
    return {**ARRAYS, array: changed}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"columns": {"note": ["a"] * 3}}, r"labels.csv: has no column teff"),
    "a label unknown": (
        {"columns": {"teff": [4500.0, None, 5500.0], "feh": [0.0] * 3}},
        r"labels.csv: row 1: teff is nan",
    ),
    "text for a label": ({"columns": {"teff": ["hot", "warm", "cold"]}}, r"labels.csv: cannot be read \(Arrow"),
    "a column twice": ({"columns": {"teff": [1.0] * 3, "TEFF": [1.0] * 3}}, "two columns are called teff"),
    "too few labels": ({"columns": {"teff": [4500.0, 5000.0]}}, r"flux has 3 rows, the table of labels beside it 2"),
    "implausible": ({"columns": {"teff": [3.6, 3.7, 3.8]}}, r"npz#0: teff = 3.6 is not within"),
    "no flux": ({"arrays": _without(ARRAYS, "flux")}, r"has no array flux; it has medium, unit, wavelength"),
    "no wavelength": ({"arrays": _without(ARRAYS, "wavelength")}, "has no array wavelength"),
    "no medium": ({"notes": {"unit": "nm"}}, r"medium is '' and unit is 'nm'; say air or vacuum"),
    "no unit": ({"notes": {"medium": "air"}}, r"medium is 'air' and unit is ''"),
    "wrong unit": ({"notes": {"medium": "air", "unit": "Hz"}}, r"unit is 'hz'"),
    "wrong shape": ({"arrays": {**ARRAYS, "flux": ARRAYS["flux"][:, :-1]}}, r"flux has shape \(3, 800\), wavelength"),
    "one dimension": ({"arrays": {**ARRAYS, "flux": np.ones(3)}}, r"flux has shape \(3,\)"),
    "bad resolution": ({"notes": {**NOTES, "resolution": -1.0}}, "resolution is -1; it is lambda / FWHM"),
    "text for resolution": ({"notes": {**NOTES, "resolution": "high"}}, "cannot be read .*high"),
    "NaN flux": ({"arrays": _with("flux", (0, 17), np.nan)}, r"npz#0: flux\[17\] at 5140.850 A is nan"),
    "repeated wavelength": ({"arrays": _with("wavelength", 11, 5140.5)}, r"npz#0: wavelength\[11\] = .* repeats"),
    "negative wavelength": ({"arrays": _with("wavelength", 0, -5.0)}, r"npz#0: wavelength\[0\] is -5"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(GridFormatError, match=message) as caught:
        READER.read(READER.sources(tmp_path)[0])
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("spectra", ["npz", "zarr", "h5"])
@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[: len(raw) // 2], lambda raw: b"5000 1\n" * 99])
def test_damaged_files_of_spectra_are_named(tmp_path: Path, spectra: str, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path, spectra)
    file = path / "flux" / "c" / "0" / "0" if spectra == "zarr" else path
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(GridFormatError, match=rf"spectra\.{spectra}: (cannot be read|is empty)"):
        READER.read(READER.sources(tmp_path)[0])


@pytest.mark.parametrize("labels", ["csv", "fits", "parquet"])
@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: raw[: len(raw) // 2] + b',"', lambda raw: b"\xff\x00" * 99]
)
def test_damaged_tables_are_named(tmp_path: Path, labels: str, damage: Callable[[bytes], bytes]) -> None:
    write(tmp_path, labels=labels)
    path = tmp_path / f"labels.{labels}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GridFormatError, match=rf"labels\.{labels}: "):
        READER.label_names(tmp_path)


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="there is no folder"):
        READER.label_names(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match=r"has none of spectra.npz, spectra.zarr"):
        READER.sources(tmp_path)
    write(tmp_path)
    write_labels(tmp_path, "parquet", LABELS)
    with pytest.raises(GridFormatError, match=r"has labels.csv and labels.parquet; leave one of them there"):
        READER.label_names(tmp_path)
    write_labels(tmp_path, "csv", {"teff": pa.array([], pa.float64())})
    (tmp_path / "labels.parquet").unlink()
    with pytest.raises(MissingInputError, match="lists no spectrum"):
        READER.label_names(tmp_path)


def test_a_machine_without_h5py_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(GridFormatError, match=r"needs h5py \(pip install h5py\)"):
        READER.sources(tmp_path)


@pytest.mark.parametrize("kind", ["npz", "h5"])
@bounded
@given(data=st.data())
def test_no_mutation_of_spectra_gives_anything_but_one_or_our_error(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    good = write(tmp_path, kind)

    def first(path: Path) -> object:
        write_labels(path.parent, "csv", LABELS)
        return READER.read(READER.sources(path.parent)[0])

    survives(data, good, first, is_template, head=800, words=TEXT_WORDS)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@bounded
@given(data=st.data())
def test_no_mutation_of_labels_gives_anything_but_numbers_or_our_error(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    write(tmp_path, labels=kind)

    def names(path: Path) -> object:
        write_spectra(path.parent, "npz", ARRAYS, NOTES)
        return READER.read(TemplateSource(path.parent / "spectra.npz", 0))

    survives(data, tmp_path / f"labels.{kind}", names, is_template, head=200, words=TEXT_WORDS)


@pytest.mark.parametrize("kind", ["csv", "fits", "parquet"])
@pytest.mark.parametrize(
    ("name", "meant"),
    [("Teff [K]", "teff"), ("Fe/H", "feh"), ("[M/H]", "feh"), ("log g", "logg"), ("[Mg/Fe]", "mg_fe")],
)
def test_a_label_by_another_name_is_not_left_aside(tmp_path: Path, kind: str, name: str, meant: str) -> None:
    write_spectra(tmp_path, "npz", ARRAYS, NOTES)
    columns = {**{key: values for key, values in LABELS.items() if key.lower() != meant}, name: [1.0, 2.0, 3.0]}
    write_labels(tmp_path, kind, columns)
    with pytest.raises(GridFormatError, match=rf"labels\.{kind}: column '.*' is not read; call it {meant}, or remove"):
        READER.label_names(tmp_path)
