"""Grids against each other: what is equal, what differs by a known amount, and what cannot be compared."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError
from starnet_hpc.evaluate import evaluate
from starnet_hpc.evaluate.document import Grid, Picture, Section, Text
from starnet_hpc.evaluate.gridmatch import interpolate, matches
from starnet_hpc.evaluate.grids import INTERPOLATED, SAME, grids_section
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import Layout, building, write_shard
from tests.evaluate.fake_run import Recipe, build_run

NAMES = ("teff", "logg", "feh", "afe")
LOW, HIGH = np.array([4000.0, 1.0, -2.0, 0.0]), np.array([7000.0, 5.0, 0.5, 0.4])
_LINES = np.linspace(5141.0, 5209.0, 24)


def nodes() -> NDArray[np.float64]:
    """A regular grid of 3 x 4 x 4 x 2 nodes."""
    axes = [np.linspace(low, high, n) for low, high, n in zip(LOW, HIGH, (3, 4, 4, 2), strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 4)


def scattered(count: int, shift: float = 0.5) -> NDArray[np.float64]:
    """Labels that fill the box evenly (an additive recurrence) and coincide with no others of another shift."""
    unit = (np.arange(count)[:, None] * np.array([0.8567, 0.7339, 0.6287, 0.5386]) + shift) % 1.0
    return LOW + (HIGH - LOW) * unit


def depths(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lines are deeper in cool and metal-rich stars."""
    heat, gravity, metals, alpha = ((labels - LOW) / (HIGH - LOW)).T
    return np.asarray(0.4 * (1.2 - heat) * 10.0 ** (metals - 1.0) * (1.0 + 0.2 * gravity + 0.1 * alpha))


def spectra(labels: NDArray[np.float64], wavelength: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """Lines on a continuum that is no business of the comparison."""
    profiles = np.exp(-0.5 * ((wavelength - _LINES[:, None]) / 0.15) ** 2).sum(axis=0)
    continuum = 1e6 * (labels[:, :1] / 5777.0) ** 4 * (1.0 + 1e-3 * (wavelength - 5170.0))
    return np.asarray(continuum * (1.0 - strength * depths(labels)[:, None] * profiles), dtype=np.float32)


def write_grid(path: Path, labels: NDArray[np.float64], *, strength: float = 1.0, **changes: Any) -> Path:
    step = changes.get("step_kms", 1.5)
    low, high = changes.get("limits", (5139.0, 5211.0))
    count = int(np.log(high / low) * 299_792.458 / step)
    wavelength = np.exp(np.linspace(np.log(low), np.log(high), count))
    layout = Layout(len(labels), count, 64, mapped=True)
    names = changes.get("names", NAMES)
    with building(
        path,
        recipe={"stage": "ingest", "strength": strength, "labels": labels.tolist()},
        layout=layout,
        wavelength=wavelength,
        columns={"labels": labels[:, [NAMES.index(name) for name in names]], "source": np.array(["x"] * len(labels))},
        attributes={"label_names": list(names), "format": changes.get("format", "intrigoss")},
    ) as build:
        for shard in build.missing():
            rows = layout.rows_of(shard)
            flux = spectra(labels[rows.start : rows.stop], wavelength, strength)
            write_shard(path, layout, build.recipe_digest, shard, flux, {})
        build.finalise()
    return path


def write_magnesium_grid(path: Path, labels: NDArray[np.float64]) -> Path:
    """Write a grid whose fourth label is [Mg/Fe], not [alpha/Fe]."""
    write_grid(path, labels)
    attributes = path / "zarr.json"
    attributes.write_text(attributes.read_text().replace('"afe"', '"mg_fe"'))
    return path


def experiment(run_dir: Path, **grids: Path) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "name": "compared",
            "run_dir": str(run_dir),
            "grid": {"format": "intrigoss", "path": str(run_dir)},
            "instrument": {
                "name": "small",
                "arms": [{"start": 5142.0, "step": 0.05, "stop": 5208.0}],
                "resolution": 30_000,
            },
            "augment": {"continuum": "none"},
            "evaluate": {"compare_grids": {name: str(path) for name, path in grids.items()}},
        }
    )


def compared(tmp_path: Path, labels: NDArray[np.float64], **grids: Path) -> tuple[Table, Table, Section]:
    """Return both tables of a run whose own grid has these labels."""
    run_dir = tmp_path / "run"
    write_grid(run_dir / "grid.zarr", labels)
    config = experiment(run_dir, **grids)
    section = grids_section(config, load_instrument(config.instrument))
    shown, picture = section.blocks
    assert isinstance(shown, Grid)
    assert isinstance(picture, Picture)
    return shown.table, picture.table, section


def test_a_grid_does_not_differ_from_itself_whatever_its_scale_and_sampling(tmp_path: Path) -> None:
    other = write_grid(tmp_path / "other.zarr", nodes()[::-1], step_kms=0.9)
    summary, along, _ = compared(tmp_path, nodes(), same=other)
    row = summary.rows[0]
    assert (row["grid"], row["n"], row["how"], row["labels"]) == ("same", 96, SAME, "teff, logg, feh, afe")
    assert float(row["high"]) < 1e-3  # per cent: float32, and the sampling of lines at 1.5 and 0.9 km/s
    assert along.distinct("label") == ["teff", "logg", "feh"]
    assert len(along.where(label="teff").rows) == 3
    assert along.where(label="teff").numbers("n").tolist() == [32, 32, 32]


def test_lines_of_other_strength_differ_by_what_a_closed_form_says(tmp_path: Path) -> None:
    moved = nodes() + np.array([2.0, 0.004, -0.004, 0.0])  # within the tolerances
    other = write_grid(tmp_path / "other.zarr", moved, strength=1.1)
    summary, along, _ = compared(tmp_path, nodes(), stronger=other)
    # Gaussian lines stay Gaussian at R = 30,000, with the same equivalent width.
    width = np.hypot(0.15, 5175.0 / 30_000 / np.sqrt(8.0 * np.log(2.0)))
    pixels = np.arange(5142.0, 5208.0, 0.05)
    profiles = 0.15 / width * np.exp(-0.5 * ((pixels - _LINES[:, None]) / width) ** 2).sum(axis=0)
    continuum = 1.0 + 1e-3 * (pixels - 5170.0)
    weak, strong = (
        continuum * (1.0 - strength * depths(labels)[:, None] * profiles)
        for strength, labels in ((1.0, nodes()), (1.1, moved))
    )
    ratio = strong / weak * (np.median(weak, axis=1) / np.median(strong, axis=1))[:, None]
    expected = 100.0 * np.median(np.mean(np.abs(ratio - 1.0), axis=1))
    assert float(summary.rows[0]["median"]) == pytest.approx(expected, rel=0.02)
    by_feh = along.where(label="feh").numbers("median")
    assert (np.diff(by_feh) > 0).all()
    assert (np.diff(along.where(label="teff").numbers("median")) < 0).all()


def test_without_common_labels_the_grid_is_interpolated_and_says_how_well(tmp_path: Path) -> None:
    same = write_grid(tmp_path / "same.zarr", scattered(80, 0.21))
    stronger = write_grid(tmp_path / "stronger.zarr", scattered(80, 0.21), strength=1.1)
    summary, _, section = compared(tmp_path, scattered(300), same=same, stronger=stronger)
    equal, other = summary.rows
    assert equal["how"] == other["how"] == INTERPOLATED
    assert 60 <= int(equal["n"]) <= 80
    # What is the same but for the labels differs by the error of the interpolation, which was told beforehand.
    assert float(equal["median"]) == pytest.approx(float(equal["floor"]), rel=0.5)
    assert float(other["median"]) > 3 * float(other["floor"])
    assert "interpolated in its labels" in section.blocks[0].note  # type: ignore[union-attr]


def test_interpolation_left_out_is_interpolation_without_that_template() -> None:
    labels = scattered(120)
    flux = spectra(labels, np.linspace(5150.0, 5160.0, 40), 1.0).astype(np.float64) / 1e6
    whole = interpolate(labels, flux, labels[:3])
    others = np.arange(len(labels)) != 7
    without = interpolate(labels[others], flux[others], labels[7:8])
    np.testing.assert_allclose(interpolate(labels, flux, labels[:5]).flux[0], flux[whole.rows[0]], rtol=1e-4)
    if without.rows.size:  # label ranges and mean differ a little without it
        np.testing.assert_allclose(whole.left_out[7], without.flux[0], rtol=0, atol=2e-3)


def test_labels_outside_the_templates_are_not_answered() -> None:
    labels = scattered(120)
    flux = np.ones((120, 4)) * labels[:, :1]
    beyond = np.array([[3900.0, 3.0, -1.0, 0.2], [5500.0, 3.0, -1.0, 0.2], [5500.0, 3.0, 0.9, 0.2]])
    assert interpolate(labels, flux, beyond).rows.tolist() == [1]


def test_matches_are_the_nearest_within_the_tolerances() -> None:
    reference = np.array([[5000.0, 4.0], [5008.0, 4.0], [6000.0, 4.0]])
    other = np.array([[5006.0, 4.01], [6000.0, 4.03], [5991.0, 4.0], [4995.0, 4.0]])
    mine, its = matches(reference, other, ("teff", "logg"))
    assert list(zip(mine.tolist(), its.tolist(), strict=True)) == [(1, 0), (2, 2), (0, 3)]


def test_a_grid_without_alpha_is_compared_at_its_own_rule(tmp_path: Path) -> None:
    tied = nodes()[np.isclose(nodes()[:, 3], 0.0)]
    tied[:, 3] = np.clip(-tied[:, 2] / 3.0, 0.0, 0.5)
    names = ("teff", "logg", "feh")
    ferre = write_grid(tmp_path / "ferre.zarr", tied, names=names, format="ferre")
    summary, _, section = compared(tmp_path, tied, ferre=ferre)
    assert summary.rows[0]["n"] == len(tied)
    assert float(summary.rows[0]["high"]) < 1e-3
    assert "[α/Fe] is no label of ferre" in section.blocks[0].note  # type: ignore[union-attr]


def test_single_elements_are_matched_and_never_taken_for_solar(tmp_path: Path) -> None:
    """Nodes that differ in [Mg/Fe] alone are different nodes."""
    write_magnesium_grid(tmp_path / "run/grid.zarr", nodes())
    other = write_magnesium_grid(tmp_path / "other.zarr", nodes()[::-1])
    config = experiment(tmp_path / "run", same=other)
    shown = grids_section(config, load_instrument(config.instrument)).blocks[0]
    assert isinstance(shown, Grid)
    row = shown.table.rows[0]
    assert (row["n"], row["how"], row["labels"]) == (96, SAME, "teff, logg, feh, mg_fe")
    assert float(row["high"]) < 1e-3
    assert "[α/Fe]" not in str(shown.note)
    config = experiment(tmp_path / "run", alpha=write_grid(tmp_path / "alpha.zarr", nodes()))
    assert re.search(r"alpha\.zarr: does not vary mg_fe, .* take that grid out of evaluate", refused(config))


def refused(config: ExperimentConfig) -> str:
    """What the chapter says of its only grid, which cannot be compared."""
    (block,) = grids_section(config, load_instrument(config.instrument)).blocks
    assert isinstance(block, Text)
    return block.words


def test_grids_that_cannot_be_compared_are_told_of_in_the_chapter(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", other=tmp_path / "other.zarr")
    instrument = load_instrument(config.instrument)
    with pytest.raises(MissingInputError, match=r"grid\.zarr: no such store"):
        grids_section(config, instrument)
    write_grid(tmp_path / "run/grid.zarr", nodes())
    with pytest.raises(MissingInputError, match=r"other\.zarr: no such store; make it first with `starnet-hpc ingest"):
        grids_section(config, instrument)
    write_grid(tmp_path / "other.zarr", nodes(), limits=(5150.0, 5211.0))
    assert re.search(r"other\.zarr: templates cover 5150.00-.* ingest that grid with this run's", refused(config))
    write_grid(tmp_path / "hot.zarr", nodes() + np.array([9000.0, 0.0, 0.0, 0.0]))
    config = experiment(tmp_path / "run", hot=tmp_path / "hot.zarr")
    assert re.search(r"hot\.zarr: no template has labels .* take it out of evaluate", refused(config))


def test_the_report_has_a_chapter_on_other_grids_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = Picture.render
    drawn = {"png": b"\x89PNG\r\n\x1a\n" + bytes(20), "pdf": b"%PDF-"}  # other figures are not what this is about
    monkeypatch.setattr(Picture, "render", lambda one: render(one) if one.table.name == "grid_differences" else drawn)
    other = write_grid(tmp_path / "other.zarr", nodes(), strength=1.1)
    hot = write_grid(tmp_path / "hot.zarr", nodes() + np.array([9000.0, 0.0, 0.0, 0.0]))
    recipe = Recipe(n_test=200, templates=20, members=2, examples=False)
    config = build_run(tmp_path / "run", recipe, evaluate={"compare_grids": {"stronger": str(other), "hot": str(hot)}})
    write_grid(config.store("grid"), nodes())
    text = evaluate(config).read_text(encoding="utf-8")
    assert "Other synthetic grids" in text
    assert "The grid hot could not be compared." in text
    with (config.run_dir / "report/grid_differences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["grid"] for row in rows} == {"stronger"}
    assert (config.run_dir / "report/grid_differences.png").read_bytes().startswith(b"\x89PNG")
    assert "grids.csv" in (config.run_dir / "report/index.csv").read_text(encoding="utf-8")


def test_the_alternate_line_list_differs_most_in_cool_and_metal_rich_stars(tmp_path: Path, shared: Path) -> None:
    paths = {}
    for name, every in (("reference", 3), ("alternate", 4)):
        with np.load(shared / f"data/reference_grid/{name}.npz") as data:
            wavelength, labels = data["wl"], data["par"][::every, :4]
            near = (wavelength > 5148) & (wavelength < 5202)
            flux = (data["norm"][::every][:, near] / np.float32(65535)).astype(np.float32)
        paths[name] = tmp_path / name / "grid.zarr"
        layout = Layout(len(labels), int(near.sum()), 64, mapped=True)
        # Steps of 0.02 A are taken as equal in the logarithm, which shifts lines of both grids alike.
        uniform = np.exp(np.linspace(*np.log(wavelength[near][[0, -1]]), int(near.sum())))
        with building(
            paths[name],
            recipe={"name": name},
            layout=layout,
            wavelength=uniform,
            columns={"labels": labels, "source": np.array(["x"] * len(labels))},
            attributes={"label_names": list(NAMES), "format": "intrigoss"},
        ) as build:
            for shard in build.missing():
                rows = layout.rows_of(shard)
                write_shard(build.path, layout, build.recipe_digest, shard, flux[rows.start : rows.stop], {})
            build.finalise()
    arm = {"start": 5150.0, "step": 0.03, "stop": 5200.0}
    described = experiment(paths["reference"].parent, alternate=paths["alternate"]).model_dump()
    described |= {"instrument": {"name": "small", "arms": [arm], "resolution": 47_000}}
    config = ExperimentConfig.model_validate(described)
    section = grids_section(config, load_instrument(config.instrument))
    along = section.blocks[1].table  # type: ignore[union-attr]
    feh, teff = (along.where(label=label).numbers("median") for label in ("feh", "teff"))
    assert feh[-1] > 5 * feh[0]
    assert teff[0] > 2 * teff[-1]
    feh_floor = along.where(label="feh").numbers("floor")
    assert feh[-1] > 1.3 * feh_floor[-1]
