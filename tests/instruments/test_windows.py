"""Windows of wavelengths: the package's lists and the user's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.config import InstrumentConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments import Instrument, build_instrument
from starnet_hpc.instruments.windows import read_windows, shipped_lists, windows_in_range


def built(**keys: Any) -> Instrument:
    arm = {"start": 6200.0, "step": 0.05, "count": 4000}
    return build_instrument(
        InstrumentConfig.model_validate({"name": "mine", "resolution": 20_000, "arms": [arm], **keys})
    )


def written(folder: Path, text: str) -> Path:
    (folder / "list.txt").write_text(text, encoding="utf-8")
    return folder / "list.txt"


@pytest.mark.parametrize(("kind", "name"), [("strong_lines", "paper"), ("tellurics", "bands")])
def test_the_lists_of_the_package_are_in_order_and_do_not_overlap(kind: str, name: str) -> None:
    assert name in shipped_lists(kind)
    windows = np.array(windows_in_range(kind, name, 0.0, 1e6))
    assert (windows[:, 0] < windows[:, 1]).all()
    assert (windows[1:, 0] > windows[:-1, 1]).all()
    assert 3000 < windows.min() < windows.max() < 26_000


def test_only_windows_that_touch_the_range_are_taken_from_a_list() -> None:
    instrument = built(tellurics="bands", strong_lines="paper")
    assert instrument.telluric_windows == ((6275.0, 6325.0),)
    assert instrument.strong_windows == ()
    assert instrument.recipe() == built(tellurics=[[6275, 6325]]).recipe()
    np.testing.assert_array_equal(instrument.wavelength[instrument.tellurics()][[0, -1]].round(2), [6275.05, 6324.95])


def test_strong_lines_hold_the_balmer_lines_and_the_strongest_of_calcium_sodium_and_magnesium() -> None:
    windows = windows_in_range("strong_lines", "paper", 3000.0, 11_000.0)
    lines = (6562.8, 4861.3, 4340.5, 4101.7, 3933.7, 3968.5, 5889.95, 5895.9, 5167.3, 5172.7, 5183.6, 8542.1, 8662.1)
    for line in lines:
        assert any(low < line < high for low, high in windows), line


def test_the_bands_hold_nearly_all_deep_telluric_lines(shared: Path) -> None:
    lines = np.loadtxt(shared / "data/telluric_lines.txt", skiprows=1)
    bands = windows_in_range("tellurics", "bands", 3000.0, 25_000.0)
    inside = np.array([any(low < centre < high for low, high in bands) for centre in lines[:, 3]])
    assert inside[lines[:, 2] < 0.85].mean() > 0.95
    assert inside[lines[:, 2] < 0.5].all()


def test_a_users_list_is_read(shared: Path) -> None:
    path = shared / "data/telluric_lines.txt"
    theirs = np.loadtxt(path, skiprows=1)
    assert read_windows(path) == tuple((float(low), float(high)) for low, high in theirs[:, :2])
    instrument = built(tellurics=str(path))
    touching = (theirs[:, 0] < instrument.upper[-1]) & (theirs[:, 1] > instrument.lower[0])
    assert len(instrument.telluric_windows) == touching.sum() > 5


def test_a_list_may_have_commas_remarks_words_and_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "# mine\nlower, upper, what\n6300, 6301, sky line\n\n6210.5,6211 # weak\n")
    assert read_windows(path) == ((6210.5, 6211.0), (6300.0, 6301.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no row of numbers"),
        ("lower upper\n6300\n", "line 2: expected 2 numbers, got '6300'"),
        ("6301 6300\n", "line 1: a window is its lower and its upper edge, .* got 6301 6300"),
        ("6300 6301\nfrom to\n", "line 2: 'from to' is not a row of numbers"),
        ("6300 nan\n", "line 1: .* no finite number"),
        ("630.0 630.1\n", "edges are in angstrom: multiply by 10"),
    ],
)
def test_a_list_that_is_none_is_refused_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"instrument mine: .*list\.txt.*{said}"):
        built(tellurics=str(written(tmp_path, text)))


def test_an_unknown_list_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tellurics: there is no list 'band'; give bands, the path of a list"):
        built(tellurics="band")
    with pytest.raises(ConfigError, match=r"none\.txt: there is no such file"):
        built(strong_lines=str(tmp_path / "none.txt"))
