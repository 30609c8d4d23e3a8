"""Pixels, arms and windows of instruments, and what is said about a description that makes no sense."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.config import InstrumentConfig
from starnet_hpc.errors import ConfigError, ResolutionError
from starnet_hpc.instruments import C_KMS, build_instrument, check_native, load_instrument


def instrument(*arms: dict[str, Any], **more: Any) -> InstrumentConfig:
    return InstrumentConfig.model_validate({"name": "test", "arms": arms, "resolution": 20_000} | more)


LINEAR = {"start": 5000.0, "step": 0.05, "count": 200}
LOGARITHMIC = {"start": 6000.0, "step": 2.5, "count": 300, "spacing": "logarithmic"}


def test_linear_pixels_are_centred_between_edges_that_touch() -> None:
    built = build_instrument(instrument(LINEAR))
    np.testing.assert_allclose(built.wavelength, 5000 + 0.05 * np.arange(200), rtol=1e-15)
    np.testing.assert_allclose(built.upper - built.lower, 0.05, rtol=1e-9)
    np.testing.assert_array_equal(built.lower[1:], built.upper[:-1])
    np.testing.assert_allclose(0.5 * (built.lower + built.upper), built.wavelength, rtol=1e-15)


def test_logarithmic_pixels_are_equally_wide_in_velocity() -> None:
    built = build_instrument(instrument(LOGARITHMIC))
    np.testing.assert_allclose(C_KMS * np.diff(np.log(built.wavelength)), 2.5, rtol=1e-9)
    np.testing.assert_allclose(C_KMS * np.log(built.upper / built.lower), 2.5, rtol=1e-9)
    np.testing.assert_allclose(built.lower * built.upper, built.wavelength**2, rtol=1e-14)
    assert built.wavelength[0] == 6000.0
    np.testing.assert_array_equal(built.lower[1:], built.upper[:-1])


def test_the_last_pixel_may_be_given_instead_of_their_number() -> None:
    for arm, stop in ((LINEAR, 5000.0 + 0.05 * 199), (LOGARITHMIC, 6000.0 * np.exp(2.5 * 299 / C_KMS))):
        rule = {key: value for key, value in arm.items() if key != "count"}
        for beyond in (1.0, 1.0 + 3e-6):  # up to less than half a pixel beyond
            built = build_instrument(instrument(rule | {"stop": stop * beyond}))
            np.testing.assert_array_equal(built.wavelength, build_instrument(instrument(arm)).wavelength)
        assert built.recipe() == build_instrument(instrument(arm)).recipe()


def test_a_rule_may_be_in_nanometres() -> None:
    nm = build_instrument(instrument({"start": 500.0, "step": 0.005, "count": 200, "unit": "nm"}))
    np.testing.assert_allclose(nm.wavelength, build_instrument(instrument(LINEAR)).wavelength, rtol=1e-14)
    with pytest.raises(ConfigError, match=r"the arm at 500: ends at 500.995 A, .* write `unit: nm` into the arm"):
        build_instrument(instrument({"start": 500.0, "step": 0.005, "count": 200}))


def test_vacuum_wavelengths_come_out_in_air() -> None:
    vacuum, air = (build_instrument(instrument(LINEAR | {"medium": medium})) for medium in ("vacuum", "air"))
    # Edlen (1966), from Allen's Astrophysical Quantities: the refractive index at 5000 A in vacuum is 1.00027896.
    np.testing.assert_allclose(air.wavelength[0] / vacuum.wavelength[0] - 1.0, 2.7896e-4, rtol=1e-4)
    np.testing.assert_array_equal(vacuum.lower[1:], vacuum.upper[:-1])
    assert ((vacuum.lower < vacuum.wavelength) & (vacuum.wavelength < vacuum.upper)).all()
    assert vacuum.recipe()["arms"] != air.recipe()["arms"]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"start": 5000.0, "step": 0.05}, "needs start, step and one of count or stop"),
        ({**LINEAR, "stop": 5010.0}, "needs start, step and one of count or stop"),
        ({"start": 5000.0, "step": 0.05, "stop": 4990.0}, "stop 4990.0 is not beyond start 5000.0"),
        ({**LINEAR, "file": "pixels.txt"}, "has a file of pixel centres, and start, step, count besides"),
        ({**LINEAR, "column": "wave"}, "names a column, but no file"),
    ],
)
def test_an_arm_has_a_rule_or_a_file(arm: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        instrument(arm)


@pytest.mark.parametrize("stop", [5000.5, 1e9])
def test_too_few_and_absurdly_many_pixels_are_refused(stop: float) -> None:
    with pytest.raises(ConfigError, match=r"the arm at 5000 has \d+ pixels; 16 to 5000000 can be used"):
        build_instrument(instrument({"start": 5000.0, "step": 0.05, "stop": stop}))


@pytest.mark.parametrize("spacing", ["linear", "logarithmic"])
def test_pixels_beyond_all_instruments_are_refused(spacing: str) -> None:
    with pytest.raises(ConfigError, match=rf"reaches beyond 1e\+06 A: check step \({spacing}\) and count"):
        build_instrument(instrument({"start": 5000.0, "step": 5000.0, "count": 4_000_000, "spacing": spacing}))


def test_arms_follow_each_other_with_gaps() -> None:
    built = build_instrument(instrument(LINEAR, LOGARITHMIC))
    assert built.wavelength.size == 500
    assert (np.diff(built.wavelength) > 0).all()
    assert built.upper[199] < built.lower[200]
    np.testing.assert_array_equal(np.flatnonzero(built.lower[1:] != built.upper[:-1]), [199])


def test_arms_may_touch_give_or_take_half_a_pixel() -> None:
    build_instrument(instrument(LINEAR, LINEAR | {"start": 5000.0 + 0.05 * 199.6}))


@pytest.mark.parametrize("start", [5009.0, 4000.0])
def test_arms_that_overlap_or_are_out_of_order_are_refused(start: float) -> None:
    with pytest.raises(ConfigError, match=r"instrument test: an arm begins at .* list arms in order, without overlap"):
        build_instrument(instrument(LINEAR, LINEAR | {"start": start}))


def test_windows_hold_the_pixels_whose_centre_is_inside() -> None:
    built = build_instrument(instrument(LINEAR, strong_lines=[(5001.01, 5001.11)], tellurics=[(4990, 5000.01)]))
    np.testing.assert_array_equal(np.flatnonzero(built.strong_lines()), [21, 22])
    np.testing.assert_array_equal(np.flatnonzero(built.tellurics()), [0])


def test_sigma_belongs_to_the_resolution() -> None:
    built = build_instrument(instrument(LINEAR, resolution=47_000))
    assert built.narrowest_sigma_kms * np.sqrt(8 * np.log(2)) == pytest.approx(C_KMS / 47_000)
    assert built.widest_sigma_kms == built.narrowest_sigma_kms


def test_resolution_may_be_a_table_linear_between_its_points_and_constant_beyond() -> None:
    built = build_instrument(instrument(LINEAR, resolution=[[5002, 20_000], [5006, 21_000]]))
    at = dict(zip(built.wavelength.round(2).tolist(), built.resolution.tolist(), strict=True))
    assert (at[5000.0], at[5002.0], at[5004.0], at[5009.0]) == pytest.approx((20_000, 20_000, 20_500, 21_000))
    assert built.resolution_range == (20_000, 21_000)
    assert built.sharpest == (5006.0, 21_000)
    assert C_KMS / built.widest_sigma_kms == pytest.approx(20_000 * np.sqrt(8 * np.log(2)))


def test_of_a_table_only_the_pixels_part_counts() -> None:
    built = build_instrument(instrument(LINEAR, resolution=[[4000, 1000], [6000, 101_000]]))
    assert built.resolution_range == pytest.approx((51_000, 51_000 + 50 * 9.95))
    assert built.sharpest[0] == pytest.approx(5009.95)


def test_resolution_may_jump_between_arms() -> None:
    second = {"start": 5010.0, "step": 0.05, "count": 200}
    table = [[5000, 20_000], [5009.95, 20_000], [5010.0, 47_000], [5020, 47_000]]
    built = build_instrument(instrument(LINEAR, second, resolution=table))
    np.testing.assert_array_equal(built.resolution, np.repeat([20_000.0, 47_000.0], 200))
    assert [(part, spread.lowest, spread.highest) for part, spread in built.arms] == [
        (slice(0, 200), 20_000, 20_000),
        (slice(200, 400), 47_000, 47_000),
    ]


@pytest.mark.parametrize("table", [[[500.0, 20_000], [501.0, 21_000]], [[5009.96, 20_000], [5100, 21_000]]])
def test_a_table_for_other_wavelengths_is_refused(table: list[list[float]]) -> None:
    with pytest.raises(ConfigError, match=r"resolution is given for .* but the pixels lie at 5000\.00 to 5009\.95 A"):
        build_instrument(instrument(LINEAR, resolution=table))


def test_a_jump_within_an_arm_is_refused() -> None:
    table = [[5004.0, 20_000], [5004.2, 47_000]]
    with pytest.raises(
        ConfigError, match=r"from 20000 at 5004\.000 A to 47000 at 5004\.200 A, by more than 1 % within"
    ):
        build_instrument(instrument(LINEAR, resolution=table))


@pytest.mark.parametrize("resolution", [None, 500_000.0, 47_000.0, 47_000.0 * (1 - 1e-12)])
def test_templates_as_sharp_as_the_instrument_will_do(resolution: float | None) -> None:
    check_native(resolution, build_instrument(instrument(LINEAR, resolution=47_000)).sharpest, "grid")


@pytest.mark.parametrize("resolution", [46_999.0, 0.0, float("nan")])
def test_smoother_templates_are_refused_with_both_resolutions_and_the_place(resolution: float) -> None:
    built = build_instrument(instrument(LINEAR, resolution=[[5000, 46_000], [5005, 47_000], [5010, 46_000]]))
    with pytest.raises(ResolutionError, match=rf"grid: .* = {resolution:g} already .* 47000 at 5005\.00 A .* sharper"):
        check_native(resolution, built.sharpest, "grid")


def test_templates_must_reach_beyond_the_pixels_by_shift_rotation_and_resolution() -> None:
    built = build_instrument(instrument(LINEAR, resolution=47_000))
    low, high = built.template_range(vrad_max=150, vsini_max=50)
    reach = 150 + 50 + 6 * built.widest_sigma_kms
    assert C_KMS * (built.lower[0] - low) / built.lower[0] == pytest.approx(reach)
    assert C_KMS * (high - built.upper[-1]) / built.upper[-1] == pytest.approx(reach)


def test_where_resolution_varies_templates_must_reach_as_far_as_where_it_is_lowest() -> None:
    built = build_instrument(instrument(LINEAR, resolution=[[5000, 47_000], [5010, 46_000]]))
    low, _ = built.template_range(vrad_max=150, vsini_max=50)
    widest = C_KMS / built.resolution.min() / np.sqrt(8 * np.log(2))
    assert C_KMS * (built.lower[0] - low) / built.lower[0] == pytest.approx(200 + 6 * widest)


def test_a_margin_of_the_instruments_own_is_added_and_changes_no_spectrum() -> None:
    with_margin = build_instrument(instrument(LINEAR, margin_kms=100.0))
    without = build_instrument(instrument(LINEAR))
    low, high = with_margin.template_range(vrad_max=50, vsini_max=50)
    assert (low, high) == pytest.approx(without.template_range(vrad_max=150, vsini_max=50), rel=1e-15)
    assert with_margin.recipe() == without.recipe()


def test_segments_must_hold_enough_pixels_for_a_level() -> None:
    built = build_instrument(instrument(LINEAR))
    built.check_segments(0.41)
    with pytest.raises(ConfigError, match=r"0.39 A hold 7.8 pixels of test near .* set it to 10 or more"):
        built.check_segments(0.39)


def test_the_papers_instrument_is_the_authors_wavelengths_without_their_rounding(shared: Path) -> None:
    built = load_instrument("uves_4835_5395")
    theirs = np.load(shared / "data/wavelength_grids/UVES_4835-5395.npy")
    assert theirs.dtype == np.dtype(">f4")
    assert built.wavelength.size == theirs.size == 39_436
    # float32 near 5000 A comes in steps of 0.00049 A; the authors' sums of steps wandered by about as much again.
    assert np.abs(built.wavelength - theirs.astype(np.float64)).max() < 1e-3
    assert built.config.resolution == 47_000
    assert not built.tellurics().any()
    assert (built.wavelength[built.strong_lines()][[0, -1]].round()).tolist() == [4845, 5200]


def test_a_file_or_a_mapping_describes_an_instrument_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nresolution: 20000\narms:\n  - {start: 5000, step: 0.05, count: 200}\n")
    from_file, from_mapping = load_instrument(str(path)), load_instrument(instrument(LINEAR))
    np.testing.assert_array_equal(from_file.wavelength, from_mapping.wavelength)


@pytest.mark.parametrize("choice", ["uves_4835", "nowhere/mine.yaml"])
def test_an_unknown_instrument_is_answered_with_the_known_ones(choice: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no '{choice}'; give one of .*uves_4835_5395.*path of a YAML"):
        load_instrument(choice)


def test_a_misspelt_key_in_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nresoluton: 20000\narms:\n  - {start: 5000, step: 0.05, count: 200}\n")
    with pytest.raises(ConfigError, match="resolut"):
        load_instrument(str(path))
