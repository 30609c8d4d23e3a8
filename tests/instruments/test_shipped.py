"""The instruments that come with the package, and how people see them."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments import details, load_instrument, overview, shipped_instruments

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((REPOSITORY / "configs" / "instruments").glob("*.yaml"))


def test_all_promised_instruments_are_there() -> None:
    promised = {"uves_4835_5395", "uves_5822_6831", "ghost", "graces", "espadons", "weave_hr", "xshooter", "boss"}
    assert promised <= set(shipped_instruments())


@pytest.mark.parametrize("choice", [*shipped_instruments(), *map(str, EXAMPLES)])
def test_pixels_increase_do_not_overlap_and_sample_the_line_spread_function(choice: str) -> None:
    instrument = load_instrument(choice)
    assert instrument.name == Path(choice).stem
    assert (np.diff(instrument.wavelength) > 0).all()
    assert (instrument.lower < instrument.wavelength).all()
    assert (instrument.wavelength < instrument.upper).all()
    width = instrument.upper - instrument.lower
    assert (instrument.lower[1:] - instrument.upper[:-1] > -1e-6 * width[1:]).all()
    sampled = instrument.wavelength / instrument.config.resolution / width
    assert 2.0 <= sampled.min() <= sampled.max() <= 10.0
    assert 2900 < instrument.lower[0] < instrument.upper[-1] < 25_100
    assert instrument.strong_lines().mean() < 0.25
    assert instrument.tellurics().mean() < 0.4


@pytest.mark.parametrize("name", shipped_instruments())
def test_each_description_says_where_its_numbers_come_from(name: str) -> None:
    text = "\n".join(details(name))
    assert text.startswith("#")
    assert "et al. (20" in text or "et al. 20" in text
    assert load_instrument(name).config.description


def test_boss_pixels_are_the_surveys_own_in_vacuum() -> None:
    from starnet_hpc.kernels.refraction import vacuum_to_air

    pixels = 10.0 ** (3.5563 + 1e-4 * np.arange(4608))
    np.testing.assert_allclose(load_instrument("boss").wavelength, vacuum_to_air(pixels), rtol=1e-8)


def test_the_papers_recipe_is_what_it_was_when_its_windows_were_spelt_out() -> None:
    assert load_instrument("uves_4835_5395").recipe() == {
        "name": "uves_4835_5395",
        "resolution": 47_000.0,
        "arms": [{"start": 4835.01, "step": 0.0142, "count": 39_436, "spacing": "linear"}],
        "strong_lines": [[4845.0, 4886.0], [5160.0, 5200.0]],
        "tellurics": [],
    }


def test_the_overview_lists_every_instrument_with_range_pixels_and_resolution() -> None:
    lines = {line.split()[0]: line for line in overview() if line}
    for name in shipped_instruments():
        assert name in lines
    assert lines["uves_4835_5395"].split()[1:5] == ["4835-5395", "1", "39,436", "47000"]


def test_details_of_a_shipped_instrument_are_a_file_to_copy(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(details("weave_hr")) + "\n", encoding="utf-8")
    assert load_instrument(str(path)).recipe() == load_instrument("weave_hr").recipe()


def test_details_of_a_users_file_say_what_the_package_makes_of_it() -> None:
    said = details(str(next(path for path in EXAMPLES if path.stem == "example_fibre")))
    assert said[1] == "R = 20000"
    assert said[2].startswith("5000 pixels, 4840.0000 to 5089.9500 A in air, 0.05 A")
    assert said[4] == "without continuum (strong lines): 4845-4886, 5160-5200 A, 1745 pixels"
    assert said[5] == "zero for the network (tellurics): nothing"


@pytest.mark.parametrize("choice", ["nonesuch", "../data/boss", "windows/bands"])
def test_details_of_nothing_are_refused_with_the_names_there_are(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no .* give one of boss, espadons"):
        details(choice)
