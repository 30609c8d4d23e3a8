import numpy as np

from starnet_hpc.evaluate import limits
from starnet_hpc.labels import LABELS


def test_the_quickstart_range_has_mg_b_but_no_balmer_line() -> None:
    found = " ".join(limits.of_wavelengths(5150, 5200, list(LABELS), -3.0))
    assert "No Balmer line" in found
    assert "metal-poor" in found
    assert "pressure" not in found
    assert "short range" in found


def test_the_papers_range_has_h_beta_and_mg_b() -> None:
    assert limits.of_wavelengths(4835.01, 5394.99, list(LABELS), -3.0) == []
    assert limits.lines_inside(4835.01, 5394.99) == ["Hβ", "Mg b 5167", "Mg b 5173", "Mg b 5184"]


def test_a_line_in_a_gap_between_arms_is_not_seen() -> None:
    found = limits.of_wavelengths(4800, 5100, ["teff"], np.nan, gaps=[(4850, 4870)])
    assert "No Balmer line" in found[0]


def test_nothing_is_said_of_labels_that_are_not_predicted() -> None:
    assert limits.of_wavelengths(6000, 6150, ["feh"], 0.0) == []
    assert limits.of_resolution(47000, 47000, ["teff"]) == []


def test_slow_rotation_is_half_a_line_width() -> None:
    said = limits.of_resolution(47000, 47000, ["vsini"])[0]
    assert "At R = 47,000 a line is 6.4 km/s wide: v sin i below about 3.2 km/s cannot" in said


def test_where_resolution_varies_both_ends_are_told() -> None:
    said = limits.of_resolution(20000, 47000, ["vsini"])[0]
    assert "At R = 20,000 to 47,000 a line is 6.4 to 15.0 km/s wide: v sin i below about 3.2 km/s at best" in said
