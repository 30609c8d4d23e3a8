"""What a user may get wrong: each fault has one message that names it, and leaves nothing that looks finished."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from starnet_hpc.errors import (
    ConfigError,
    CoverageError,
    GridFormatError,
    MissingInputError,
    ResolutionError,
)
from starnet_hpc.grids import TemplateSpectrum, write_intrigoss
from starnet_hpc.grids.intrigoss import Intrigoss
from starnet_hpc.ingest import ingest, shards
from starnet_hpc.stores import is_complete, open_store
from tests.grids.templates import template
from tests.ingest.cases import INSTRUMENT, experiment, write_grid


@pytest.fixture
def grid(tmp_path: Path) -> list[Path]:
    return write_grid(tmp_path / "grid")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


def test_a_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"grid\.path: there is no folder"):
        ingest(experiment(tmp_path))
    (tmp_path / "grid").mkdir()
    with pytest.raises(MissingInputError, match="holds no FITS file"):
        ingest(experiment(tmp_path))
    assert not is_complete(tmp_path / "run" / "grid.zarr")


def test_a_truncated_file_among_good_ones_stops_the_stage(tmp_path: Path, grid: list[Path]) -> None:
    truncate(grid[5])
    with pytest.raises(GridFormatError, match=rf"{grid[5].name}: is truncated[\s\S]*grid\.on_error: skip"):
        ingest(experiment(tmp_path))
    assert not (tmp_path / "run" / "grid.zarr").exists()


def test_the_bad_file_named_is_the_first_by_name_for_any_number_of_workers(
    tmp_path: Path, grid: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starnet_hpc.ingest.stage._CENSUS_BLOCK", 2)
    names = sorted(path.name for path in grid)
    for name in (names[11], names[3], names[8]):
        truncate(tmp_path / "grid" / name)
    for workers in (1, 2):
        with pytest.raises(GridFormatError) as caught:
            ingest(experiment(tmp_path, augment={"workers": workers}))
        assert names[3] in str(caught.value)


def test_bad_files_can_be_skipped_and_are_reported(tmp_path: Path, grid: list[Path]) -> None:
    truncate(grid[5])
    with fits.open(grid[2], mode="update") as hdus:
        hdus[1].data["surface_flux"][7] = np.nan
    config = experiment(tmp_path, grid={"on_error": "skip"})
    store = open_store(ingest(config), made_by="ingest")
    assert len(store) == 10
    assert set(store.attributes["left_out"]) == {grid[5].name, grid[2].name}
    assert "flux[7]" in store.attributes["left_out"][grid[2].name]
    log = (config.run_dir / "logs" / "ingest.log").read_text()
    assert log.count("left out: ") == 2
    ingest(config)
    assert "2 files were left out of it" in (config.run_dir / "logs" / "ingest.log").read_text()


def test_a_grid_of_bad_files_only_is_an_error_even_if_they_may_be_skipped(tmp_path: Path, grid: list[Path]) -> None:
    for path in grid:
        truncate(path)
    with pytest.raises(GridFormatError, match="none of 12 templates can be used; the first: "):
        ingest(experiment(tmp_path, grid={"on_error": "skip"}))
    assert not (tmp_path / "run" / "grid.zarr").exists()


def test_templates_must_cover_the_instrument_plus_margin(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    path = write_intrigoss(folder, template(low=5149.0, high=5175.0))
    with pytest.raises(CoverageError) as caught:
        ingest(experiment(tmp_path))
    message = str(caught.value)
    assert f"{path}: covers 5149.00 to 5175.00 A, but 5145." in message
    assert "augment.vrad_max" in message
    # With smaller velocities the same file is enough.
    config = experiment(tmp_path, augment={"vrad_max": 5.0, "vsini_max": 5.0})
    assert len(open_store(ingest(config), made_by="ingest")) == 1


def test_templates_must_be_sampled_finely_enough(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    write_intrigoss(folder, template(step=0.2))
    with pytest.raises(ResolutionError, match=r"km/s apart.*needs steps of 7\.49 km/s or less"):
        ingest(experiment(tmp_path))


def test_steps_must_be_fine_enough_where_the_instrument_is_sharpest(tmp_path: Path, grid: list[Path]) -> None:
    instrument = {**INSTRUMENT, "resolution": [[5150.0, 40_000], [5171.0, 60_000]]}
    with pytest.raises(ResolutionError, match=r"needs steps of 2\.50 km/s or less"):
        ingest(experiment(tmp_path, instrument=instrument))
    with pytest.raises(ConfigError, match=r"grid\.step_kms: steps of 8 km/s cannot .* = 20000; 7\.64 km/s or less can"):
        ingest(experiment(tmp_path, grid={"step_kms": 8.0}))


def test_templates_smoother_than_the_instrument_are_refused_before_any_is_read(tmp_path: Path) -> None:
    said = r"grid: templates have been smoothed to lambda / FWHM = 15000 already .* has 20000 at 5150\.00 A"
    with pytest.raises(ResolutionError, match=said):
        ingest(experiment(tmp_path, grid={"resolution": 15_000}))


def say_resolution(monkeypatch: pytest.MonkeyPatch, said: Callable[[str], float | None]) -> None:
    """Have the reader tell templates' resolutions by the names of their files."""
    read = Intrigoss.read
    monkeypatch.setattr(
        Intrigoss, "read", lambda self, *asked: replace(read(self, *asked), resolution=said(asked[0].path.name))
    )


def test_a_smooth_file_among_sharp_ones_is_named_and_can_be_skipped(
    tmp_path: Path, grid: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_resolution(monkeypatch, lambda name: 15_000.0 if name == grid[5].name else None)
    with pytest.raises(ResolutionError, match=rf"{grid[5].name}: .* = 15000 already[\s\S]*grid\.on_error: skip"):
        ingest(experiment(tmp_path))
    store = open_store(ingest(experiment(tmp_path, grid={"on_error": "skip"})), made_by="ingest")
    assert list(store.attributes["left_out"]) == [grid[5].name]
    assert store.attributes["native_resolution"] is None


def test_templates_of_one_grid_have_one_resolution(
    tmp_path: Path, grid: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(path.name for path in grid)
    say_resolution(monkeypatch, lambda name: 30_000.0 if name == last else 25_000.0)
    with pytest.raises(
        GridFormatError, match=rf"{last}: says .* is 30000, but that of .* is 25000; .* grid\.resolution"
    ):
        ingest(experiment(tmp_path, grid={"on_error": "skip"}))
    store = open_store(ingest(experiment(tmp_path, grid={"resolution": 40_000})), made_by="ingest")
    assert store.attributes["native_resolution"] == 40_000.0


def test_a_gap_inside_the_range_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    made = template()
    keep = (made.wavelength < 5160.0) | (made.wavelength > 5161.0)
    write_intrigoss(folder, TemplateSpectrum(made.wavelength[keep], made.flux[keep], made.labels, ""))
    with pytest.raises(ResolutionError, match=r"samples at 5159\.950 and 5161\.\d+ A .* there is a gap"):
        ingest(experiment(tmp_path))


def test_two_files_with_the_same_labels_are_named(tmp_path: Path, grid: list[Path]) -> None:
    twin = grid[4].with_name("zz_copy.fits")
    twin.write_bytes(grid[4].read_bytes())
    with pytest.raises(GridFormatError, match=rf"zz_copy\.fits: has the same labels .* as {grid[4].name}"):
        ingest(experiment(tmp_path))
    store = open_store(ingest(experiment(tmp_path, grid={"on_error": "skip"})), made_by="ingest")
    assert len(store) == 12
    assert list(store.attributes["left_out"]) == ["zz_copy.fits"]


def test_templates_that_differ_in_microturbulence_alone_are_no_duplicates(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    for vmicro in (1.0, 2.0):
        for teff in (4500.0, 5000.0):
            write_intrigoss(folder, replace(template(teff=teff), extra={"vmicro": vmicro}))
    store = open_store(ingest(experiment(tmp_path)), made_by="ingest")
    assert sorted(store.column("labels")[:, 0].tolist()) == [4500.0, 4500.0, 5000.0, 5000.0]


def test_a_cut_that_leaves_nothing_is_an_error(tmp_path: Path, grid: list[Path]) -> None:
    with pytest.raises(GridFormatError, match=r"all 12 templates lie outside grid\.cut"):
        ingest(experiment(tmp_path, grid={"cut": {"teff": [10_000, 20_000]}}))


def test_a_cut_on_a_label_that_the_grid_does_not_vary_is_refused(
    tmp_path: Path, grid: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intrigoss, "label_names", lambda self, folder: ("teff", "logg", "feh"))
    with pytest.raises(ConfigError, match=r"grid\.cut\.afe: the grid in .* \(format intrigoss\) does not vary afe"):
        ingest(experiment(tmp_path, grid={"cut": {"afe": [0, 1]}}))


def test_a_broken_link_is_a_missing_file(tmp_path: Path, grid: list[Path]) -> None:
    grid[0].with_name("aa.fits").symlink_to(tmp_path / "nowhere.fits")
    with pytest.raises(MissingInputError, match=r"aa\.fits: there is no such file"):
        ingest(experiment(tmp_path))


def test_a_file_that_turns_bad_between_the_passes_leaves_the_store_unfinished(
    tmp_path: Path, grid: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shards.interpolated

    def read_from_a_failing_disk(*arguments: Any) -> Any:
        truncate(grid[0])
        return read(*arguments)

    monkeypatch.setattr(shards, "interpolated", read_from_a_failing_disk)
    with pytest.raises(GridFormatError, match="truncated"):
        ingest(experiment(tmp_path))
    assert not is_complete(tmp_path / "run" / "grid.zarr")
