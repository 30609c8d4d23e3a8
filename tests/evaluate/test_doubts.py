"""What the report warns of when it looks at the flags of a survey."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from starnet_hpc.evaluate import doubts
from starnet_hpc.evaluate.catalogues import Catalogue
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.sample import LabelColumns
from starnet_hpc.flags import Flag

ROWS = 200


def inputs(flag: Flag, rows: int) -> Inputs:
    """A run whose survey has this flag in so many rows."""
    flags = np.where(np.arange(ROWS) < rows, int(flag), 0).astype(np.int64)
    ids, good = np.array([str(row) for row in range(ROWS)], dtype=object), np.ones(ROWS)
    catalogues = [
        Catalogue(Path("made up"), {}, ids, {"teff": LabelColumns(good, good, good, good)}, bits, np.full(ROWS, 3))
        for bits in (np.zeros(ROWS, dtype=np.int64), flags)
    ]
    test, survey = (SimpleNamespace(catalogue=catalogue) for catalogue in catalogues)
    config = SimpleNamespace(ensemble=SimpleNamespace(members=3))
    return cast("Inputs", SimpleNamespace(test=test, survey=survey, config=config))


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (Flag.OUTSIDE_FEH, "20 survey spectra (10.0 %) are flagged as outside the trained range"),
        (Flag.LOW_SNR, "20 survey spectra are noisier than any"),
        (Flag.UNLIKE_TRAINING, "20 survey spectra (10.0 %) look unlike those that the networks were trained on"),
    ],
)
def test_flags_of_many_rows_are_told_in_a_sentence_each(flag: Flag, words: str) -> None:
    (told,) = doubts.of_rows(inputs(flag, 20))
    assert told.startswith(words)


def test_a_few_spectra_that_look_unlike_others_are_chance() -> None:
    assert not doubts.of_rows(inputs(Flag.UNLIKE_TRAINING, 5))
    assert doubts.of_rows(inputs(Flag.OUTSIDE_TEFF, 1))
