"""From files to `grid.zarr`: what is in it, that it does not depend on how it was made, and that reruns are right."""

import dataclasses
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import scipy.interpolate
import zarr

from starnet_hpc.errors import InterruptedRunError, MissingInputError, StoreMismatchError
from starnet_hpc.grids import TemplateSource, TemplateSpectrum, reader_for, write_intrigoss
from starnet_hpc.grids.intrigoss import Intrigoss
from starnet_hpc.ingest import ingest, shards
from starnet_hpc.ingest.stage import ln_uniform
from starnet_hpc.instruments import C_KMS, load_instrument
from starnet_hpc.stores import Store, open_store
from tests.grids.templates import template
from tests.ingest.cases import NODES, experiment, write_grid


def opened(path: Path) -> Store:
    return open_store(path, made_by="ingest")


def test_the_store_holds_every_template_in_the_order_of_names(tmp_path: Path) -> None:
    paths = write_grid(tmp_path / "grid")
    store = opened(ingest(experiment(tmp_path)))
    assert store.column("source").tolist() == sorted(path.name for path in paths)
    assert store.label_names == ("teff", "logg", "feh", "afe")
    assert {tuple(row) for row in store.column("labels")[:, :2]} == set(NODES)
    assert store.attributes["format"] == "intrigoss"
    assert store.attributes["left_out"] == {}
    assert store.layout.dtype == "float32"


def test_wavelengths_are_uniform_in_the_logarithm_and_cover_just_what_is_needed(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    config = experiment(tmp_path)
    store = opened(ingest(config))
    low, high = load_instrument(config.instrument).template_range(vrad_max=150.0, vsini_max=50.0)
    assert store.wavelength[[0, -1]] == pytest.approx([low, high], rel=1e-12)
    step = np.diff(np.log(store.wavelength))
    np.testing.assert_allclose(step, store.attributes["ln_step"], rtol=1e-8)  # rounding of ln(5000) over the step
    # The files' step is 0.05 A, finest in km/s at the red end.
    finest = C_KMS * 0.05 / high
    assert 0.99 * finest < store.attributes["velocity_step_kms"] <= 1.01 * finest
    assert store.attributes["velocity_step_kms"] == pytest.approx(C_KMS * store.attributes["ln_step"])


def test_fluxes_are_the_cubic_spline_through_the_files_samples(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    store = opened(ingest(experiment(tmp_path)))
    rows = store.mapped_rows()
    for row, name in enumerate(store.column("source")):
        spectrum = reader_for("intrigoss").read(TemplateSource(tmp_path / "grid" / name))
        expected = scipy.interpolate.CubicSpline(spectrum.wavelength, spectrum.flux)(store.wavelength)
        np.testing.assert_allclose(rows[row], expected, rtol=1e-6)  # float32


def test_real_templates_are_interpolated_as_scipy_does(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        wavelength, labels = data["wl"], data["par"][:3, :4]
        continuum = [np.interp(wavelength, wavelength[::50], nodes) for nodes in data["cont"][:3]]
        flux = (data["norm"][:3] / 65535.0 * np.array(continuum)).astype(np.float32)
    (tmp_path / "grid").mkdir()
    for row in range(3):
        named = dict(zip(("teff", "logg", "feh", "afe"), labels[row].tolist(), strict=True))
        write_intrigoss(tmp_path / "grid", TemplateSpectrum(wavelength, flux[row], named, ""))
    store = opened(ingest(experiment(tmp_path, instrument="uves_4835_5395")))
    for row, found in enumerate(store.column("labels")):
        original = int(np.flatnonzero((labels == found).all(axis=1))[0])
        expected = scipy.interpolate.CubicSpline(wavelength, flux[original])(store.wavelength)
        np.testing.assert_allclose(store.read(row, row + 1)[0], expected, rtol=2e-7, atol=1e-6 * expected.max())
    assert store.attributes["velocity_step_kms"] == pytest.approx(1.11, abs=0.01)


def test_the_step_can_be_chosen(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    store = opened(ingest(experiment(tmp_path, grid={"step_kms": 1.5})))
    assert 1.49 < store.attributes["velocity_step_kms"] <= 1.5


def test_files_with_wavelengths_of_their_own_share_the_common_grid(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    write_intrigoss(tmp_path / "grid", template(teff=6500.0, step=0.02, low=5100.0, high=5200.0))
    store = opened(ingest(experiment(tmp_path)))
    assert store.attributes["velocity_step_kms"] == pytest.approx(C_KMS * 0.02 / 5172.0, rel=0.01)  # the finest of all
    fine = store.column("source").tolist().index("alpp000_ap000_t6500g44_v1_f.fits")
    made = template(teff=6500.0, step=0.02, low=5100.0, high=5200.0)
    expected = scipy.interpolate.CubicSpline(made.wavelength, made.flux)(store.wavelength)
    np.testing.assert_allclose(store.read(fine, fine + 1)[0], expected, rtol=1e-6)


def test_the_store_is_the_same_for_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starnet_hpc.ingest.stage.SHARD_ROWS", 4)
    monkeypatch.setattr("starnet_hpc.ingest.stage._CENSUS_BLOCK", 3)
    write_grid(tmp_path / "grid")
    stores = [opened(ingest(experiment(tmp_path, run=f"run{n}", augment={"workers": n}))) for n in (1, 2)]
    assert stores[0].layout.shards == 3
    assert stores[0].content_digest == stores[1].content_digest
    np.testing.assert_array_equal(stores[0].read(0, 12), stores[1].read(0, 12))
    np.testing.assert_array_equal(stores[0].column("labels"), stores[1].column("labels"))


def test_the_cut_leaves_templates_out(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    store = opened(ingest(experiment(tmp_path, grid={"cut": {"teff": [4900, 5600], "logg": [3.5, 6]}})))
    assert len(store) == 4
    assert set(store.column("labels")[:, 0]) == {5000.0, 5500.0}


def test_the_summary_counts_nodes_and_holes(tmp_path: Path) -> None:
    paths = write_grid(tmp_path / "grid")
    paths[0].unlink()
    config = experiment(tmp_path)
    summary = opened(ingest(config)).attributes["summary"]
    assert summary["templates"] == 11
    assert summary["holes"] == 1
    assert summary["labels"]["teff"] == {
        "low": 4500.0,
        "high": 6000.0,
        "distinct": 4,
        "counts": [[4500.0, 2], [5000.0, 3], [5500.0, 3], [6000.0, 3]],
    }
    log = (config.run_dir / "logs" / "ingest.log").read_text()
    assert "1 of the 12 nodes that these values span are not there" in log


def test_a_rerun_has_nothing_to_do_and_says_so(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    config = experiment(tmp_path)
    path = ingest(config)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
    ingest(config)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()} == before
    assert "nothing to do" in (config.run_dir / "logs" / "ingest.log").read_text()


def test_the_folder_may_move_without_the_store_being_made_anew(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    digest = opened(ingest(experiment(tmp_path))).content_digest
    shutil.move(tmp_path / "grid", tmp_path / "elsewhere")
    moved = experiment(tmp_path, grid={"path": str(tmp_path / "elsewhere")})
    assert opened(ingest(moved)).content_digest == digest


def test_other_files_or_another_cut_are_refused_in_the_same_run_directory(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    ingest(experiment(tmp_path))
    with pytest.raises(StoreMismatchError, match=r"grid\.cut\.teff"):
        ingest(experiment(tmp_path, grid={"cut": {"teff": [4900, 5600]}}))
    write_intrigoss(tmp_path / "grid", template(teff=6500.0))
    with pytest.raises(StoreMismatchError, match=r"files\.count: 12 -> 13"):
        ingest(experiment(tmp_path))


def test_a_file_that_was_computed_again_is_noticed_though_it_has_the_same_length(tmp_path: Path) -> None:
    first, *_ = write_grid(tmp_path / "grid")
    ingest(experiment(tmp_path))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    os.utime(first)  # a copy has another time and is the same file
    ingest(experiment(tmp_path))
    first.write_bytes(data)
    with pytest.raises(StoreMismatchError, match=r"files\.digest"):
        ingest(experiment(tmp_path))


@pytest.mark.parametrize("emptied", [False, True])
def test_a_finished_store_stays_when_its_grid_is_purged(tmp_path: Path, emptied: bool) -> None:
    files = write_grid(tmp_path / "grid")
    config = experiment(tmp_path)
    digest = opened(ingest(config)).content_digest
    for file in files:
        file.unlink()
    if not emptied:
        (tmp_path / "grid").rmdir()
    assert opened(ingest(config)).content_digest == digest
    assert "it stays as it is" in (config.run_dir / "logs" / "ingest.log").read_text()
    with pytest.raises(StoreMismatchError, match=r"grid\.step_kms"):
        ingest(experiment(tmp_path, grid={"step_kms": 3.0}))


def test_a_grid_that_was_purged_before_its_store_was_finished_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_grid(tmp_path / "grid")
    config = experiment(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_shard", lambda *_: "")
        with pytest.raises(RuntimeError, match="shards missing"):
            ingest(config)
    for file in files:
        file.unlink()
    with pytest.raises(MissingInputError, match="holds no FITS file"):
        ingest(config)


def test_the_resolution_that_templates_have_is_kept_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_grid(tmp_path / "grid")
    sharp = ingest(experiment(tmp_path))
    assert opened(sharp).attributes["native_resolution"] is None
    with pytest.raises(StoreMismatchError, match=r"grid\.resolution: null -> 40000"):
        ingest(experiment(tmp_path, grid={"resolution": 40_000}))
    given = ingest(experiment(tmp_path, run="given", grid={"resolution": 40_000}))
    assert opened(given).attributes["native_resolution"] == 40_000.0
    read = Intrigoss.read
    monkeypatch.setattr(
        Intrigoss, "read", lambda self, *asked: dataclasses.replace(read(self, *asked), resolution=30_000.0)
    )
    assert opened(ingest(experiment(tmp_path, run="said"))).attributes["native_resolution"] == 30_000.0


def test_an_interrupted_store_is_finished_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starnet_hpc.ingest.stage.SHARD_ROWS", 4)
    write_grid(tmp_path / "grid")
    whole = opened(ingest(experiment(tmp_path, run="whole")))
    config = experiment(tmp_path, augment={"workers": 1})
    write = shards.write_shard

    def stopped_behind_the_first(*arguments: object) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return write(*arguments)  # type: ignore[arg-type]

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(shards, "write_shard", stopped_behind_the_first)
    with pytest.raises(InterruptedRunError, match="run the same command again"):
        ingest(config)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not opened_attributes(config.store("grid"))["complete"]
    monkeypatch.setattr(shards, "write_shard", write)
    finished = opened(ingest(config))
    assert finished.content_digest == whole.content_digest
    np.testing.assert_array_equal(finished.read(0, 12), whole.read(0, 12))


def opened_attributes(path: Path) -> dict[str, object]:
    return dict(zarr.open_group(path, mode="r").attrs)


def test_the_ln_grid_meets_both_ends_with_steps_no_larger_than_asked() -> None:
    grid = ln_uniform(5000.0, 5100.0, 1.0)
    assert grid[0] == 5000.0
    assert grid[-1] == pytest.approx(5100.0, rel=1e-14)
    steps = C_KMS * np.diff(np.log(grid))
    assert steps.max() <= 1.0 + 1e-7
    assert steps.min() > 0.999
