"""The short cut agrees with astropy wherever it answers, and leaves every file that is not plain to astropy."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.grids.plaintable import plain_columns

KINDS = {"D": np.float64, "E": np.float32, "J": np.int32, "I": np.int16}


def write(path: Path, columns: list[fits.Column], **header: float) -> Path:
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(path, overwrite=True)
    return path


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.integers(1, 400),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=5),
    cards=st.integers(0, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_reads_plain_tables_as_astropy_does(
    tmp_path: Path, rows: int, kinds: list[str], cards: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(-1000, 1000, (len(kinds), rows))
    columns = [
        fits.Column(f"col{k}", kind, "Angstrom" if k == 0 else None, array=values[k].astype(KINDS[kind]))
        for k, kind in enumerate(kinds)
    ]
    path = write(tmp_path / "t.fits", columns, **{f"KEY{k}": k / 7 for k in range(cards)})
    plain = plain_columns(path, ("col0", "col1"))
    assert plain is not None
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(plain.values[0], hdus[1].data["col0"])
        np.testing.assert_array_equal(plain.values[1], hdus[1].data["col1"])
        assert plain.header == hdus[0].header
    assert plain.units == ("Angstrom", "")


def _scaled(path: Path) -> None:
    write(path, [fits.Column("a", "J", bzero=2**31, array=np.arange(9, dtype=np.uint32)), fits.Column("b", "D")])


def _vectors(path: Path) -> None:
    write(path, [fits.Column("a", "9D", array=np.ones((1, 9))), fits.Column("b", "9D", array=np.ones((1, 9)))])


def _variable(path: Path) -> None:
    lists = np.array([[1.0, 2.0], [3.0]], dtype=object)
    write(path, [fits.Column("a", "PD()", array=lists), fits.Column("b", "D", array=[1.0, 2.0])])


def _packed(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5800])


def _image(path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((5, 5)))]).writeto(path, overwrite=True)


@pytest.mark.parametrize(
    "change",
    [_scaled, _vectors, _variable, _packed, _truncated, _image, Path.unlink, lambda path: path.write_bytes(b"")],
)
def test_it_leaves_everything_else_to_astropy(tmp_path: Path, change: Callable[[Path], object]) -> None:
    numbers = np.arange(2000.0)
    path = write(tmp_path / "t.fits", [fits.Column("a", "D", array=numbers), fits.Column("b", "D", array=numbers)])
    assert plain_columns(path, ("a", "b")) is not None
    change(path)
    assert plain_columns(path, ("a", "b")) is None


def test_columns_that_are_not_there_are_left_to_astropy_to_miss(tmp_path: Path) -> None:
    path = write(tmp_path / "t.fits", [fits.Column("a", "D", array=np.arange(9.0))])
    assert plain_columns(path, ("a", "b")) is None
    assert plain_columns(path, ("A",)) is None
