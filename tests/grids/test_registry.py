from typing import get_args

import pytest

from starnet_hpc.config.spectra import GridFormat
from starnet_hpc.errors import ConfigError
from starnet_hpc.grids import READERS, reader_for


def test_every_format_that_a_configuration_may_name_has_a_reader() -> None:
    assert set(READERS) == set(get_args(GridFormat))


def test_an_unknown_format_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="intrigoss"):
        reader_for("kurucz")
