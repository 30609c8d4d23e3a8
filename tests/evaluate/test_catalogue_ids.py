"""Identifiers in a catalogue are those of the store, in the letters that FITS can hold."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.evaluate.catalogues import Catalogue, check_ids


def catalogue(*names: str) -> Catalogue:
    none = np.zeros(len(names), dtype=np.int64)
    return Catalogue(Path("catalogue.fits"), {}, np.array(names, dtype=object), {}, none, none)


def test_letters_outside_ascii_are_recognised_as_the_catalogue_spells_them() -> None:
    check_ids(catalogue(r"\u03b5 Eri", "Sun"), ["\u03b5 Eri", "Sun"], Path("survey.zarr"))


def test_another_order_is_refused() -> None:
    with pytest.raises(StoreMismatchError, match="row 0 is 'Sun'"):
        check_ids(catalogue("Sun", "Vega"), ["Vega", "Sun"], Path("survey.zarr"))
