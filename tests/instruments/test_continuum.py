"""The configuration decides which continuum is found, and with which settings."""

import numpy as np
import pytest

from starnet_hpc.config import AugmentConfig, InstrumentConfig
from starnet_hpc.instruments import CONTINUUM_SETTINGS, build_instrument, continuum_for

ARM = {"start": 5000.0, "step": 0.05, "count": 2000}
INSTRUMENT = build_instrument(
    InstrumentConfig.model_validate(
        {"name": "test", "arms": [ARM], "resolution": 20_000, "strong_lines": [[5040.0, 5050.0]]}
    )
)


def continuum(flux: np.ndarray, **settings: object) -> np.ndarray:
    return continuum_for(INSTRUMENT, AugmentConfig.model_validate(settings)).fit(flux.astype(np.float32))


def spectrum() -> np.ndarray:
    rng = np.random.default_rng(2)
    lines = np.where(rng.uniform(size=INSTRUMENT.wavelength.size) < 0.2, 0.5, 1.0)
    return 1e5 * lines * (1.0 + 4e-3 * (INSTRUMENT.wavelength - 5050.0))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"continuum_segment": 20.0}, "clip"),
        ({"continuum_clip": (1.0, 3.0)}, "clip"),
        ({"continuum_knot_spacing": 100.0}, "clip"),
        ({"continuum_width": 20.0}, "smooth"),
    ],
)
def test_each_setting_acts_on_its_kind_and_on_no_other(change: dict[str, object], kind: str) -> None:
    flux = spectrum()
    for name in ("clip", "smooth", "none"):
        same = np.array_equal(continuum(flux, continuum=name, **change), continuum(flux, continuum=name))
        assert same == (name != kind)


def test_what_each_kind_finds() -> None:
    flux = spectrum()
    response = 1e5 * (1.0 + 4e-3 * (INSTRUMENT.wavelength - 5050.0))
    np.testing.assert_allclose(continuum(flux), response, rtol=0.03)  # half a segment tilts by 2.5 %
    # The mean of them: 80 % at 1, 20 % at a half; the ends see only one side of the slope.
    middle = slice(600, 1400)
    smooth = continuum(flux, continuum="smooth", continuum_width=5.0)
    np.testing.assert_allclose(smooth[middle], 0.9 * response[middle], rtol=0.05)
    np.testing.assert_allclose(continuum(flux, continuum="none"), np.median(flux), rtol=1e-6)


@pytest.mark.parametrize("kind", ["clip", "smooth"])
def test_strong_lines_have_no_say(kind: str) -> None:
    flux = spectrum()
    before = continuum(flux, continuum=kind)
    flux[INSTRUMENT.strong_lines()] = 1e9
    np.testing.assert_array_equal(continuum(flux, continuum=kind), before)


def test_the_settings_that_stores_remember_are_all_there_are() -> None:
    assert {name for name in AugmentConfig.model_fields if name.startswith("continuum")} == CONTINUUM_SETTINGS
