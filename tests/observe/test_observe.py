"""From observed files to `survey.zarr`: columns, masks, and the same numbers as training for the same spectrum."""

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.augment.recipe import SpectrumRecipe
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.flags import Flag
from starnet_hpc.observations import write_eso_sdp
from starnet_hpc.observe import observe, shards
from starnet_hpc.stores import Store, open_store
from tests.observe.cases import experiment, instrument, star, write_stars


def opened(path: Path) -> Store:
    return open_store(path, made_by="observe")


def one(tmp_path: Path, flux: np.ndarray, *, wavelength: np.ndarray | None = None, **header: Any) -> Path:
    """Write one spectrum on the small instrument's own pixels."""
    (tmp_path / "observed").mkdir()
    if wavelength is None:
        wavelength = instrument(experiment(tmp_path)).wavelength
    write_eso_sdp(tmp_path / "observed" / "star.fits", wavelength, flux, **header)
    return tmp_path


def test_every_file_is_a_row_with_its_columns(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 3)
    store = opened(observe(experiment(tmp_path)))
    assert store.column("id").tolist() == ["star00", "star01", "star02"]
    assert store.column("source").tolist() == ["star00.fits", "star01.fits", "star02.fits"]
    assert store.column("snr").tolist() == [90.0] * 3
    assert store.column("flags").tolist() == [0] * 3
    assert store.column("masked_fraction").tolist() == [0.0] * 3
    assert store.column("frame").tolist() == ["barycentric"] * 3
    assert store.label_names == ("teff", "logg", "feh", "afe", "vsini", "vrad")
    assert store.column("reference").shape == store.column("reference_error").shape == (3, 6)
    assert np.isnan(store.column("reference")).all()


@pytest.mark.parametrize("continuum", ["clip", "smooth", "none"])
def test_an_observed_spectrum_is_normalised_exactly_as_training_normalises_it(tmp_path: Path, continuum: str) -> None:
    settings = {"continuum": continuum, "continuum_width": 4.0}
    config = experiment(tmp_path, augment=settings)
    pixels = instrument(config)
    flux = star(pixels.wavelength).astype(np.float32)
    store = opened(observe(experiment(one(tmp_path, flux), augment=settings)))
    continuum = SpectrumRecipe(1, "test", pixels.config, config.augment, (5140.0, 5180.0, 3000)).continuum(flux)
    # Training divides counts, observing counts over their median: float32 rounding apart, the same.
    np.testing.assert_allclose(store.read(0, 1)[0], flux / continuum, rtol=2e-6)


def test_pixels_of_another_size_give_the_same_spectrum(tmp_path: Path) -> None:
    """Without noise, lines of sigma 0.11 A on 0.02 A pixels come out as on the instrument's own 0.03 A."""
    fine = 5145.0 + 0.02 * np.arange(1600)
    pixels = instrument(experiment(tmp_path)).wavelength
    write_stars(tmp_path / "observed", 0)
    write_eso_sdp(tmp_path / "observed" / "fine.fits", fine, star(fine, snr=1e9))
    write_eso_sdp(tmp_path / "observed" / "own.fits", pixels, star(pixels, snr=1e9))
    flux = opened(observe(experiment(tmp_path))).read(0, 2)
    # A mean over a pixel differs from the flux at its centre by f'' h^2 / 24, at most 2e-3 of the depth here.
    np.testing.assert_allclose(flux[0], flux[1], atol=3e-3)


def test_the_benchmark_stars_look_like_stars(shared: Path, tmp_path: Path) -> None:
    config = experiment(
        tmp_path,
        instrument="uves_4835_5395",
        survey={"path": str(shared / "data/observed"), "frame": "rest"},
        augment={"continuum_segment": 10.0, "continuum_knot_spacing": 30.0},
    )
    store = opened(observe(config))
    assert store.column("id").tolist() == ["ATLAS.Sun_47000", "UVES_epsEri-2_47000", "iraf_UVES_HD201891_47000"]
    assert store.column("flags").tolist() == [0, 0, 0]
    snr = store.column("snr")
    assert snr[:2] == pytest.approx([581, 199], abs=2)  # flux over SIGMA
    assert snr[2] > 100  # from the scatter: the file has no SIGMA
    flux = store.read(0, 3)
    assert np.isfinite(flux).all()
    assert ((flux > 0) & (flux < 1.12)).all()
    upper = np.percentile(flux, 95, axis=1)
    np.testing.assert_allclose(upper, 1.0, atol=0.025)
    # The Sun is weaker-lined than epsilon Eri, HD 201891 ([Fe/H] = -1) weaker still.
    blocked = 1.0 - flux.mean(axis=1)
    assert blocked[2] < blocked[0] < blocked[1]
    # Mg b2, 5172.684 A in air.
    core = np.abs(store.wavelength - 5172.684) < 1.0
    for row in flux:
        assert store.wavelength[core][np.argmin(row[core])] == pytest.approx(5172.684, abs=0.03)


def test_a_manifest_brings_names_groups_labels_and_snr(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 2)
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "path,id,group,snr,teff,e_teff\nobserved/star01.fits,Sun,MRD,33,5777,1\nobserved/star00.fits,HD 1,MRG,,,\n"
    )
    store = opened(observe(experiment(tmp_path, survey={"manifest": str(manifest)})))
    assert store.column("id").tolist() == ["Sun", "HD 1"]
    assert store.column("group").tolist() == ["MRD", "MRG"]
    assert store.column("source").tolist() == ["star01.fits", "star00.fits"]
    assert store.column("snr").tolist() == [33.0, 90.0]  # the user's word first, then the header's
    np.testing.assert_array_equal(store.column("reference")[:, 0], [5777.0, np.nan])
    np.testing.assert_array_equal(store.column("reference_error")[:, 0], [1.0, np.nan])


def test_without_a_given_snr_errors_tell_it_and_without_errors_the_scatter(tmp_path: Path) -> None:
    folder = tmp_path / "observed"
    folder.mkdir()
    wavelength = 5145.0 + 0.02 * np.arange(1600)
    flux = star(wavelength, snr=50.0)
    write_eso_sdp(folder / "a.fits", wavelength, flux, error=flux / 40)
    write_eso_sdp(folder / "b.fits", wavelength, flux)
    snr = opened(observe(experiment(tmp_path))).column("snr")
    assert snr[0] == pytest.approx(40.0)
    assert snr[1] == pytest.approx(50.0, rel=0.2)  # lines and 1,600 pixels leave the estimate this uncertain


@pytest.mark.parametrize("kind", ["zero flux", "not a number", "quality", "gap", "no error"])
def test_pixels_that_cannot_be_used_are_zero_and_others_untouched(tmp_path: Path, kind: str) -> None:
    wavelength = instrument(experiment(tmp_path)).wavelength
    flux = star(wavelength)
    window = slice(300, 340)
    quality, error, keep = np.zeros(flux.size, dtype=int), flux / 90, np.ones(flux.size, dtype=bool)
    if kind == "zero flux":
        flux[window] = 0.0
    elif kind == "not a number":
        flux[window] = np.nan
    elif kind == "quality":
        quality[window], flux[window] = 1, 1e9
    elif kind == "no error":
        error[window], flux[window] = 0.0, 1e9
    else:
        keep[window] = False
    one(tmp_path, flux[keep], wavelength=wavelength[keep], quality=quality[keep], error=error[keep])
    store = opened(observe(experiment(tmp_path)))
    masked = store.read(0, 1)[0] == 0
    assert np.flatnonzero(masked).tolist() == list(range(300, 340))
    assert store.column("masked_fraction")[0] == pytest.approx(40 / 700)
    assert store.column("flags")[0] == 0


def test_cosmic_spikes_are_masked_and_lines_are_not(tmp_path: Path) -> None:
    wavelength = instrument(experiment(tmp_path)).wavelength
    flux = star(wavelength)
    flux[200] *= 3.0
    flux[450:452] *= 1.6
    one(tmp_path, flux)
    row = opened(observe(experiment(tmp_path))).read(0, 1)[0]
    assert np.flatnonzero(row == 0).tolist() == [*range(199, 202), *range(449, 453)]
    assert row.max() < 1.1


def test_masking_cosmic_spikes_can_be_left_off_and_is_counted(tmp_path: Path) -> None:
    flux = star(instrument(experiment(tmp_path)).wavelength)
    flux[200] *= 3.0
    one(tmp_path, flux)
    store = opened(observe(experiment(tmp_path)))
    assert store.column("cosmics").tolist() == [3]
    assert "cosmic particles: 3 pixels masked in 1 spectra" in (tmp_path / "run/logs/observe.log").read_text()
    left = opened(observe(experiment(tmp_path, run="left", survey={"cosmics": False})))
    assert left.column("cosmics").tolist() == [0]
    assert left.read(0, 1)[0][200] > 2.0


def test_noise_alone_is_no_spike(tmp_path: Path) -> None:
    """Training has noise of up to 7 % of the median and masks none of it; observing must not, either."""
    wavelength = instrument(experiment(tmp_path)).wavelength
    one(tmp_path, star(wavelength, snr=14.0), snr=14.0)
    assert opened(observe(experiment(tmp_path))).column("masked_fraction")[0] == 0.0


def test_telluric_windows_are_zero_and_count_as_neither_good_nor_missing(tmp_path: Path) -> None:
    described = {**experiment(tmp_path).instrument.model_dump(), "tellurics": [[5155.0, 5158.0]]}  # type: ignore[union-attr]
    write_stars(tmp_path / "observed", 1)
    config = experiment(tmp_path, instrument=described)
    store = opened(observe(config))
    np.testing.assert_array_equal(store.read(0, 1)[0] == 0, instrument(config).tellurics())
    assert store.column("masked_fraction")[0] == 0.0


def test_a_spectrum_that_ends_inside_the_range_is_flagged_as_partial(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 1, 5145.0 + 0.02 * np.arange(1000))  # to 5165 of 5171 A
    store = opened(observe(experiment(tmp_path)))
    row = store.read(0, 1)[0]
    assert (row[store.wavelength < 5164.8] > 0).all()
    assert (row[store.wavelength > 5165.1] == 0).all()
    assert store.column("flags")[0] == Flag.PARTIAL_COVERAGE
    assert 0.25 < store.column("masked_fraction")[0] < 0.32


def test_the_store_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 7)
    (tmp_path / "observed" / "star03.fits").write_bytes(b"broken")
    stores = []
    for workers in (1, 2):
        config = experiment(tmp_path, run=f"run{workers}", survey={"shard_rows": 2}, augment={"workers": workers})
        stores.append(opened(observe(config)))
    assert stores[0].content_digest == stores[1].content_digest
    np.testing.assert_array_equal(stores[0].read(0, 7), stores[1].read(0, 7))
    for name in ("id", "snr", "flags", "masked_fraction", "frame"):
        np.testing.assert_array_equal(stores[0].column(name), stores[1].column(name))


def test_an_interrupted_survey_is_finished_with_the_columns_of_both_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stars(tmp_path / "observed", 5)
    config = experiment(tmp_path, survey={"shard_rows": 2, "frame": "barycentric", "on_error": "raise"})
    read = shards.read_observation

    def out_of_reach(path: Path, *arguments: Any) -> Any:
        if path.name == "star04.fits":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path, *arguments)

    monkeypatch.setattr(shards, "read_observation", out_of_reach)
    with pytest.raises(OSError, match="Input/output error"):
        observe(config)
    markers = sorted((tmp_path / "run" / "survey.markers").iterdir())
    assert len(markers) == 2
    times = [marker.stat().st_mtime_ns for marker in markers]
    monkeypatch.setattr(shards, "read_observation", read)
    store = opened(observe(config))
    assert [marker.stat().st_mtime_ns for marker in markers] == times  # what was done stayed
    assert store.column("snr").tolist() == [90.0] * 5


def test_a_rerun_has_nothing_to_do_and_other_settings_are_refused(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 2)
    config = experiment(tmp_path)
    digest = opened(observe(config)).content_digest
    shutil.move(tmp_path / "observed", tmp_path / "moved")
    assert opened(observe(experiment(tmp_path, survey={"path": str(tmp_path / "moved")}))).content_digest == digest
    assert "nothing to do" in (config.run_dir / "logs" / "observe.log").read_text()
    with pytest.raises(StoreMismatchError, match=r"continuum\.continuum_segment: 5\.0 -> 4\.0"):
        observe(experiment(tmp_path, survey={"path": str(tmp_path / "moved")}, augment={"continuum_segment": 4.0}))


def test_a_spectrum_that_was_reduced_again_is_noticed_though_its_file_has_the_same_length(tmp_path: Path) -> None:
    first, *_ = write_stars(tmp_path / "observed", 2)
    config, length = experiment(tmp_path), first.stat().st_size
    observe(config)
    shutil.copy(first, tmp_path / "copy")  # with another time
    first.unlink()
    shutil.copy(tmp_path / "copy", first)
    observe(config)
    write_eso_sdp(first, (w := 5145.0 + 0.02 * np.arange(1600)), star(w, seed=7), snr=90.0)
    assert first.stat().st_size == length
    with pytest.raises(StoreMismatchError, match=r"files\.digest"):
        observe(config)


@pytest.mark.parametrize("manifest", [False, True])
def test_a_finished_survey_stays_when_its_files_are_purged(tmp_path: Path, manifest: bool) -> None:
    write_stars(tmp_path / "observed", 2)
    table = tmp_path / "m.csv"
    table.write_text("path,teff\nobserved/star00.fits,5777\nobserved/star01.fits,5000\n")
    survey = {"manifest": str(table)} if manifest else {"path": str(tmp_path / "observed")}
    config = experiment(tmp_path, survey=survey)
    digest = opened(observe(config)).content_digest
    shutil.rmtree(tmp_path / "observed")
    assert opened(observe(config)).content_digest == digest
    assert "it stays as it is" in (config.run_dir / "logs" / "observe.log").read_text()
    with pytest.raises(StoreMismatchError, match="continuum_segment"):
        observe(experiment(tmp_path, survey=survey, augment={"continuum_segment": 4.0}))
    if manifest:
        table.write_text(table.read_text().replace("5777", "5771"))
        with pytest.raises(StoreMismatchError, match="known"):
            observe(config)


def test_half_precision_holds_the_same_spectra(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 1)
    single = opened(observe(experiment(tmp_path)))
    half = opened(observe(experiment(tmp_path, run="half", augment={"dtype": "float16"})))
    assert half.layout.dtype == "float16"
    np.testing.assert_allclose(half.read(0, 1), single.read(0, 1), rtol=5e-4)  # 11 bits
