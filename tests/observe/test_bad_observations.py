"""What can be wrong with observed spectra: a flagged row with a reason, or one clear error; a row never disappears."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import (
    ConfigError,
    CoverageError,
    MissingInputError,
    ObservationFormatError,
    ResolutionError,
    StarnetError,
)
from starnet_hpc.flags import Flag
from starnet_hpc.kernels.refraction import air_to_vacuum
from starnet_hpc.observations import write_eso_sdp
from starnet_hpc.observe import observe
from starnet_hpc.stores import open_store
from tests.ingest.cases import INSTRUMENT
from tests.observations.cases import write_text
from tests.observe.cases import experiment, star, write_stars


def test_pixels_must_be_narrow_enough_everywhere_for_a_resolution_that_rises(tmp_path: Path) -> None:
    table = [[5150.0, 60_000], [5171.0, 90_000]]
    instrument = {**INSTRUMENT, "resolution": table}
    write_stars(tmp_path / "observed", 1)
    # 0.02 A pixels are narrow enough, two to a FWHM up to R = 129,000; 0.033 A only up to 78,000.
    observe(experiment(tmp_path, instrument=instrument))
    write_stars(tmp_path / "observed", 1, 5145.0 + 0.033 * np.arange(1000))
    with pytest.raises(
        ResolutionError, match=r"pixels at 51[67]\d\.\d A are 1\.9\d km/s wide, but .* needs 1\.[67]\d km/s"
    ):
        observe(experiment(tmp_path, run="other", instrument=instrument, survey={"on_error": "raise"}))


def test_a_file_that_cannot_be_read_is_a_flagged_row_of_zeros(tmp_path: Path) -> None:
    paths = write_stars(tmp_path / "observed", 3)
    paths[1].write_bytes(paths[1].read_bytes()[:-5000])
    config = experiment(tmp_path)
    store = open_store(observe(config), made_by="observe")
    assert store.column("flags").tolist() == [0, Flag.UNREADABLE, 0]
    assert store.column("masked_fraction").tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(store.column("snr")[1])
    flux = store.read(0, 3)
    assert (flux[1] == 0).all()
    assert (flux[[0, 2]] > 0).all()
    assert "star01.fits: is truncated" in store.column("remark")[1]
    log = (config.run_dir / "logs" / "observe.log").read_text()
    assert "flagged: " in log
    assert "UNREADABLE: 1 spectra" in log


@pytest.mark.parametrize(
    ("fault", "flag", "kind"),
    [
        ("missing", Flag.UNREADABLE, MissingInputError),
        ("other arm", Flag.BAD_INPUT | Flag.PARTIAL_COVERAGE, CoverageError),
        ("too coarse", Flag.UNREADABLE, ResolutionError),
        ("nothing usable", Flag.BAD_INPUT | Flag.PARTIAL_COVERAGE, ObservationFormatError),
    ],
)
def test_each_fault_is_flagged_or_raised_as_asked(
    tmp_path: Path, fault: str, flag: Flag, kind: type[StarnetError]
) -> None:
    write_stars(tmp_path / "observed", 1)
    bad = tmp_path / "observed" / "zz.fits"
    (tmp_path / "m.csv").write_text("path\nobserved/star00.fits\nobserved/zz.fits\n")
    wavelength = {"other arm": 5900.0 + 0.02 * np.arange(1000), "too coarse": 5100.0 + 0.3 * np.arange(500)}.get(
        fault, 5145.0 + 0.02 * np.arange(1600)
    )
    flux = np.zeros(wavelength.size) if fault == "nothing usable" else star(wavelength)
    if fault != "missing":
        write_eso_sdp(bad, wavelength, flux)
    survey = {"manifest": str(tmp_path / "m.csv")}
    store = open_store(observe(experiment(tmp_path, survey=survey)), made_by="observe")
    assert store.column("flags").tolist() == [0, flag]
    assert (store.read(1, 2) == 0).all()
    assert store.column("remark")[1]
    with pytest.raises(kind, match=r"zz\.fits"):
        observe(experiment(tmp_path, run="strict", survey={**survey, "on_error": "raise"}))


def test_a_frame_that_nobody_names_stops_the_stage_whatever_else_may_be_flagged(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 2, frame=None)
    with pytest.raises(ConfigError, match=r"survey\.frame: .*its header does not say.*set survey\.frame to rest or"):
        observe(experiment(tmp_path))
    # In the same run directory: the answer is not taken for a contradiction of the first attempt.
    store = open_store(observe(experiment(tmp_path, survey={"frame": "rest"})), made_by="observe")
    assert store.column("frame").tolist() == ["rest", "rest"]


def test_a_medium_that_nobody_names_stops_the_stage_and_one_that_is_named_is_told(tmp_path: Path) -> None:
    (tmp_path / "observed").mkdir()
    wavelength = 5145.0 + 0.02 * np.arange(1600)
    heading = "# frame: rest\n# wavelength [A] flux"
    write_text(tmp_path / "observed" / "star.txt", air_to_vacuum(wavelength), star(wavelength), heading=heading)
    with pytest.raises(ConfigError, match=r"survey\.medium: .*star\.txt: .*set survey\.medium to air or vacuum"):
        observe(experiment(tmp_path))
    vacuum = open_store(observe(experiment(tmp_path, survey={"medium": "vacuum"})), made_by="observe")
    core = np.abs(vacuum.wavelength - 5160.9) < 0.5
    row = vacuum.read(0, 1)[0]
    assert vacuum.wavelength[core][np.argmin(row[core])] == pytest.approx(5160.9, abs=0.04)
    assert vacuum.column("remark").tolist() == [""]


def test_topocentric_spectra_are_corrected_if_asked_for(tmp_path: Path) -> None:
    speed = 25.0
    wavelength = (5145.0 + 0.02 * np.arange(1600)) * (1.0 - speed / 299_792.458)
    (tmp_path / "observed").mkdir()
    write_eso_sdp(
        tmp_path / "observed" / "star.fits",
        wavelength,
        star(5145.0 + 0.02 * np.arange(1600)),
        frame="topocentric",
        header={"HIERARCH ESO QC VRAD BARYCOR": speed},
    )
    with pytest.raises(ConfigError, match=r"SPECSYS = TOPOCENT.*or to topocentric to have wavelengths corrected"):
        observe(experiment(tmp_path))
    store = open_store(observe(experiment(tmp_path, survey={"frame": "topocentric"})), made_by="observe")
    assert store.column("frame").tolist() == ["barycentric"]
    core = np.abs(store.wavelength - 5160.9) < 0.5
    assert store.wavelength[core][np.argmin(store.read(0, 1)[0][core])] == pytest.approx(5160.9, abs=0.04)


def test_a_topocentric_header_is_quoted(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 1, frame=None, header={"SPECSYS": "TOPOCENT"})
    with pytest.raises(ConfigError, match="SPECSYS = TOPOCENT"):
        observe(experiment(tmp_path))


def test_overruling_a_header_is_remarked_upon(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 2)
    config = experiment(tmp_path, survey={"frame": "rest"})
    store = open_store(observe(config), made_by="observe")
    assert store.column("remark").tolist() == ["taken as rest, though SPECSYS is BARYCENT"] * 2
    assert "though SPECSYS is BARYCENT (2 spectra)" in (config.run_dir / "logs" / "observe.log").read_text()


def test_a_survey_of_unusable_files_only_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for path in write_stars(tmp_path / "observed", 2):
        path.write_text("no spectrum")
    with pytest.raises(ObservationFormatError, match=r"none of 2 spectra can be used; the first: .*is not a FITS file"):
        observe(experiment(tmp_path))
    assert not (tmp_path / "run" / "survey.zarr").exists()
    assert not (tmp_path / "run" / "survey.markers").exists()


def test_a_spectrum_without_any_hint_of_noise_has_an_unknown_snr(tmp_path: Path) -> None:
    (tmp_path / "observed").mkdir()
    wavelength = 5145.0 + 0.02 * np.arange(1600)
    write_eso_sdp(tmp_path / "observed" / "flat.fits", wavelength, np.ones(1600))
    store = open_store(observe(experiment(tmp_path)), made_by="observe")
    assert np.isnan(store.column("snr")[0])
    assert store.column("flags")[0] == Flag.UNKNOWN_SNR


def test_a_missing_section_folder_and_manifest_are_named(tmp_path: Path) -> None:
    config = experiment(tmp_path)
    with pytest.raises(ConfigError, match="survey: this section is missing"):
        observe(config.model_copy(update={"survey": None}))
    with pytest.raises(MissingInputError, match=r"survey\.path: there is no folder"):
        observe(config)
    with pytest.raises(MissingInputError, match=r"survey\.manifest: there is no file"):
        observe(experiment(tmp_path, survey={"manifest": str(tmp_path / "none.csv")}))


def test_columns_of_a_manifest_that_nothing_reads_are_told(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 1)
    (tmp_path / "m.csv").write_text("path,temp\nobserved/star00.fits,5777\n")
    config = experiment(tmp_path, survey={"manifest": str(tmp_path / "m.csv")})
    observe(config)
    assert "that nothing reads: temp" in (config.run_dir / "logs" / "observe.log").read_text()
