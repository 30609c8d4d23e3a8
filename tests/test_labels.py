"""Labels: six of every survey, and those of single elements."""

import pytest

from starnet_hpc.evaluate.words import plain
from starnet_hpc.flags import Flag, outside
from starnet_hpc.labels import ELEMENT_LABELS, LABELS, ordered, training_labels


def test_element_labels_stand_between_alpha_and_what_is_drawn_and_are_found_by_name() -> None:
    assert ordered(["vrad", "mg_fe", "teff", "c_fe", "afe", "nonsense"]) == ("teff", "afe", "c_fe", "mg_fe", "vrad")
    assert training_labels(["teff", "mg_fe"]) == ("teff", "mg_fe", "vsini", "vrad")
    assert list(LABELS) == ["teff", "logg", "feh", "afe", "vsini", "vrad"]
    with pytest.raises(KeyError):
        LABELS["mg_h"]


@pytest.mark.parametrize("name", ELEMENT_LABELS.values())
def test_every_element_has_a_unit_a_name_for_people_and_a_flag(name: str) -> None:
    assert LABELS[name].unit == LABELS["feh"].unit
    assert plain(name) == LABELS[name].symbol
    assert plain(name).lower() == f"[{name.replace('_', '/')}]"
    assert outside(name) is Flag.OUTSIDE_ELEMENT


@pytest.mark.parametrize("name", LABELS)
def test_each_of_the_six_has_a_flag_of_its_own(name: str) -> None:
    assert outside(name).name == f"OUTSIDE_{name.upper()}"
