"""HARPS s1d files: the axis, the chip gap, the S/N of the orders, and a frame that the DRS is known to write."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.observations import identify, read_observation
from tests.observations.cases import write_harps

FLUX = np.linspace(100.0, 300.0, 4000)


def test_axis_gap_snr_and_frame_are_read(tmp_path: Path) -> None:
    flux = FLUX.copy()
    flux[1000:2000] = 0.0
    path = write_harps(tmp_path / "HARPS_s1d_A.fits", flux, 5290.0, 0.01)
    assert identify(path) == "harps"
    back = read_observation(path, None)
    np.testing.assert_allclose(back.wavelength, 5290.0 + 0.01 * np.arange(4000), rtol=1e-14)
    assert np.flatnonzero(back.bad).tolist() == list(range(1000, 2000))
    assert (back.snr, back.medium, back.frame, back.identifier) == (80.0, "air", "barycentric", "HD 1")
    assert back.remarks == ("barycentric, since the header has DRS BERV and no SPECSYS: the DRS writes s1d files so",)


def test_harps_north_is_read_alike(tmp_path: Path) -> None:
    ours = {"HIERARCH ESO DRS BERV": None, **{f"HIERARCH ESO DRS SPE EXT SN{order}": None for order in range(3)}}
    theirs = {"HIERARCH TNG DRS BERV": 5.0, "HIERARCH TNG DRS SPE EXT SN7": 33.0}
    back = read_observation(write_harps(tmp_path / "n.fits", FLUX, 5290.0, 0.01, **ours, **theirs), None)
    assert (back.snr, back.frame) == (33.0, "barycentric")


@pytest.mark.parametrize(
    ("header", "frame", "medium"),
    [
        ({"SPECSYS": "SOURCE"}, "rest", "air"),
        ({"SPECSYS": "TOPOCENT"}, "topocentric", "air"),
        ({"HIERARCH ESO DRS BERV": None}, None, "air"),
        ({"CTYPE1": "WAVE"}, "barycentric", "vacuum"),
    ],
)
def test_what_the_header_says_goes_first(tmp_path: Path, header: dict[str, Any], frame: str, medium: str) -> None:
    back = read_observation(write_harps(tmp_path / "s.fits", FLUX, 5290.0, 0.01, **header), None)
    assert (back.frame, back.medium) == (frame, medium)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"CRVAL1": None}, "lacks keyword CRVAL1"),
        ({"CDELT1": 0.0}, "repeats that of pixel 0"),
        ({"CRVAL1": 529.0, "CDELT1": 0.001}, "unit of wavelength is probably wrong"),
        ({"HIERARCH ESO DRS SPE EXT SN1": "good"}, "SN1 should be a number"),
        ({"CTYPE1": "AWAV-LOG"}, "CTYPE1 is 'AWAV-LOG'"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    with pytest.raises(ObservationFormatError, match=message):
        read_observation(write_harps(tmp_path / "s.fits", FLUX, 5290.0, 0.01, **header), "harps")


def test_an_image_of_orders_is_no_s1d(tmp_path: Path) -> None:
    with pytest.raises(ObservationFormatError, match=r"one row of pixels, but has shape \(40, 100\)"):
        read_observation(write_harps(tmp_path / "e2ds.fits", FLUX.reshape(40, 100), 5290.0, 0.01), "harps")
