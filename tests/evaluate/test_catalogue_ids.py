"""Identifiers in a catalogue are those of the store, in the letters that FITS can hold."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.evaluate.catalogues import Catalogue, check_ids
from starnet_hpc.evaluate.inputs import read_inputs
from tests.evaluate.fake_run import Recipe, build_run


def catalogue(*names: str) -> Catalogue:
    none = np.zeros(len(names), dtype=np.int64)
    return Catalogue(Path("catalogue.fits"), {}, np.array(names, dtype=object), {}, none, none)


def test_letters_outside_ascii_are_recognised_as_the_catalogue_spells_them() -> None:
    check_ids(catalogue(r"\u03b5 Eri", "Sun"), ["\u03b5 Eri", "Sun"], Path("survey.zarr"))


def test_another_order_is_refused() -> None:
    with pytest.raises(StoreMismatchError, match="row 0 is 'Sun'"):
        check_ids(catalogue("Sun", "Vega"), ["Vega", "Sun"], Path("survey.zarr"))


def test_users_find_stars_by_the_names_that_they_gave(tmp_path: Path) -> None:
    recipe = Recipe(n_test=20, templates=2, members=1, stars=({"id": "\u03b5 Eri", "teff": 5076.0},))
    config = build_run(tmp_path / "run", recipe)
    survey = read_inputs(config).survey
    assert survey is not None
    assert list(survey.catalogue.ids) == ["\u03b5 Eri"]
