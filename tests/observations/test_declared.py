"""Medium and frame: said by the file or by the user, converted by known formulae, and never guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.kernels.refraction import air_to_vacuum
from starnet_hpc.observations import Declared, ObservedSpectrum, settled

AIR = 5000.0 + 0.02 * np.arange(100)
PATH = Path("star.fits")


def spectrum(**changes: Any) -> ObservedSpectrum:
    known: dict[str, Any] = {"medium": "air", "frame": "barycentric", "wavelength": AIR, **changes}
    return ObservedSpectrum(
        flux=np.ones(100), error=None, bad=np.zeros(100, dtype=bool), snr=None, identifier="", source="s", **known
    )


def test_what_is_known_stays_as_it_is() -> None:
    back = settled(spectrum(), Declared(), PATH)
    np.testing.assert_array_equal(back.wavelength, AIR)
    assert (back.medium, back.frame, back.remarks) == ("air", "barycentric", ())


@pytest.mark.parametrize(("declared", "said"), [(None, "vacuum"), ("vacuum", None), ("vacuum", "vacuum")])
def test_vacuum_becomes_air_whoever_says_so(declared: Any, said: Any) -> None:
    back = settled(spectrum(wavelength=air_to_vacuum(AIR), medium=said), Declared(medium=declared), PATH)
    np.testing.assert_allclose(back.wavelength, AIR, rtol=1e-13)
    assert back.medium == "air"
    assert bool(back.remarks) == (declared is None)  # what the user has not asked for is told


def test_the_users_word_goes_first_and_is_remarked_upon() -> None:
    back = settled(spectrum(medium="vacuum", frame="barycentric"), Declared("air", "rest"), PATH)
    np.testing.assert_array_equal(back.wavelength, AIR)
    assert back.frame == "rest"
    assert back.remarks == (
        "wavelengths taken as air, though the file says vacuum",
        "taken as rest, though the file is barycentric",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"medium": None}, r"survey\.medium: star\.fits: .*cannot be told.*set survey\.medium to air or vacuum"),
        ({"frame": None}, r"survey\.frame: star\.fits: .*its header does not say.*set survey\.frame to rest or bary"),
        (
            {"frame": None, "extra": {"SPECSYS": "LSRK"}},
            r"its header says SPECSYS = LSRK\); set survey\.frame to rest or barycentric$",
        ),
        (
            {"frame": "topocentric", "extra": {"SPECSYS": "TOPOCENT"}},
            r"SPECSYS = TOPOCENT.*or to topocentric to have wavelengths corrected by the velocity in the header",
        ),
    ],
)
def test_what_nobody_says_is_asked_for(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settled(spectrum(**changes), Declared(), PATH)


def test_topocentric_wavelengths_are_corrected_by_the_header_if_the_user_asks() -> None:
    """A telescope that moves towards the star at 20 km/s sees lines blueshifted; at rest they are redder."""
    topocentric = spectrum(frame="topocentric", barycentric_kms=20.0, wavelength=AIR / (1 + 20.0 / 299_792.458))
    back = settled(topocentric, Declared(frame="topocentric"), PATH)
    np.testing.assert_allclose(back.wavelength, AIR, rtol=5e-9)  # (v / c)^2 / 2 = 2e-9
    assert back.frame == "barycentric"
    assert back.remarks == ("corrected from topocentric to barycentric by the velocity in the header",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": "topocentric"}, "its header has no barycentric velocity"),
        (
            {"frame": "barycentric", "barycentric_kms": 9.0},
            "is barycentric by its header, and would be",
        ),
        ({"frame": None, "barycentric_kms": 9000.0}, "9000 km/s is more than the Earth's motion"),
        ({"frame": None, "barycentric_kms": float("nan")}, "nan km/s is more than"),
    ],
)
def test_a_correction_that_cannot_be_right_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ObservationFormatError, match=message):
        settled(spectrum(**changes), Declared(frame="topocentric"), PATH)
