"""Which pixels of an instrument networks are given, and which are hidden from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.config import InstrumentConfig, NetworkConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments import Selection, build_instrument, select_pixels

INSTRUMENT = build_instrument(
    InstrumentConfig.model_validate(
        {"name": "mine", "resolution": 20_000, "arms": [{"start": 5150.0, "step": 0.05, "count": 1000}]}
    )
)
"""Pixels from 5150 to 5199.95 A."""


def selected(**keys: Any) -> Selection:
    return select_pixels(NetworkConfig.model_validate(keys), INSTRUMENT)


def written(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_windows_all_pixels_are_given_and_none_is_hidden() -> None:
    assert selected() == Selection(NetworkConfig(), None, None)


def test_only_gives_the_pixels_inside_of_its_windows_and_ignore_hides_some_of_them() -> None:
    found = selected(only=[[5180.01, 5185.01], [5160.01, 5165.01]], ignore=[[5164.01, 5181.01]])
    assert found.given is not None
    assert found.ignored is not None
    given = INSTRUMENT.wavelength[found.given]
    # 5 A of 0.05 A are 100 pixels; the first centre inside is 5160.05.
    np.testing.assert_allclose(given, [*np.linspace(5160.05, 5165.0, 100), *np.linspace(5180.05, 5185.0, 100)])
    np.testing.assert_array_equal(found.ignored, (given > 5164.01) & (given < 5181.01))


def test_what_is_ignored_outside_of_the_windows_is_nothing_to_hide() -> None:
    assert selected(only=[[5160, 5165]], ignore=[[5170, 5175]]).ignored is None


def test_a_list_counts_by_its_windows_in_the_range_not_by_its_name_order_or_remarks(tmp_path: Path) -> None:
    text = "low high\n5180 5185 # Fe I\n4000 4100\n5160 5165\n"
    found = selected(only=written(tmp_path, text))
    (tmp_path / "elsewhere").mkdir()
    same = selected(only=written(tmp_path / "elsewhere", "5160 5165\n5180 5185\n6000 6010"))
    spelt_out = selected(only=[[5180, 5185], [5160, 5165]])
    assert found.network == same.network == spelt_out.network
    assert found.network.only == ((5160.0, 5165.0), (5180.0, 5185.0))
    np.testing.assert_array_equal(found.given, spelt_out.given)


def test_a_selection_of_what_was_selected_is_the_same() -> None:
    once = selected(only=[[5180, 5185]], ignore=[[5181, 5182]])
    again = select_pixels(once.network, INSTRUMENT)
    assert again.network == once.network
    np.testing.assert_array_equal(again.given, once.given)
    np.testing.assert_array_equal(again.ignored, once.ignored)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"only": [[5160, 5165], [6000, 6010]]},
            "network.only: 6000-6010 A holds no pixel of mine; give .* 5150.00 to 5199.95 A",
        ),
        ({"ignore": [[5160.01, 5160.02]]}, "network.ignore: 5160.01-5160.02 A holds no pixel"),
        ({"ignore": [[5000, 5300]]}, "leave 0 pixels of mine to a network, which needs 32"),
        ({"only": [[5160, 5161]]}, "leave 19 pixels of mine"),
        ({"only": [[5160, 5170]], "ignore": [[5160.98, 5170]]}, "leave 19 pixels of mine"),
    ],
)
def test_windows_that_hold_nothing_or_leave_nothing_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        selected(**keys)


def test_a_list_without_a_window_in_the_range_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "6000 6010\n4000 4100\n")
    with pytest.raises(ConfigError, match=r"network.ignore: no window in .*list.txt holds a pixel of mine"):
        selected(ignore=path)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mg.txt: there is no such file"):
        selected(only=tmp_path / "mg.txt")


def test_windows_that_lines_leave_when_they_are_shifted_are_remarked_upon() -> None:
    found = selected(only=[[5160, 5170]])
    assert found.remark(vrad_max=2.0) is None
    # 150 km/s at 5170 A are 2.59 A; windows of 10 A hold that, those of 5 A do not.
    assert found.remark(vrad_max=150.0) is None
    remark = selected(only=[[5160, 5170]], ignore=[[5162, 5167]]).remark(vrad_max=150.0)
    assert remark is not None
    assert "lines move by up to 2.59 A" in remark
    assert "5162-5167 A" in remark
