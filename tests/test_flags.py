"""The bits of the catalogue, and what is said of them."""

import re
from pathlib import Path

from starnet_hpc.evaluate.rows import MEANING
from starnet_hpc.flags import Flag

DOCS = Path(__file__).parents[1] / "docs" / "catalogue.md"


def test_each_flag_is_one_bit_of_a_positive_number() -> None:
    assert all(flag.value == 1 << (flag.value.bit_length() - 1) for flag in Flag)
    assert len({flag.value for flag in Flag}) == len(Flag.__members__)
    assert 0 < sum(flag.value for flag in Flag) < 2**31  # FITS and Parquet have it as a signed 32-bit integer


def test_labels_have_their_own_range_of_bits() -> None:
    for flag in Flag:
        of_a_label = 1 << 16 <= flag.value < 1 << 24
        assert of_a_label == str(flag.name).startswith("OUTSIDE_")


def test_the_document_has_every_bit_with_its_value_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([A-Z_]+) \| \S", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == [(str(flag.value.bit_length() - 1), str(flag.value), flag.name) for flag in Flag]


def test_the_report_has_words_for_every_bit() -> None:
    assert set(MEANING) == set(Flag)
