"""True continua of templates, on their way from files into few numbers of `grid.zarr`."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet_hpc.grids import write_intrigoss
from starnet_hpc.ingest import ingest
from starnet_hpc.ingest.continuum import ACCURACY, continuum_at, continuum_nodes
from starnet_hpc.stores import Store, open_store
from tests.grids.templates import template
from tests.ingest.cases import NODES, experiment, write_grid

EDGE = 5160.0


def smooth(wavelength: NDArray[np.float64], teff: float) -> NDArray[np.float64]:
    """Return a black body's flux per wavelength [n]."""
    return 1e25 * wavelength**-5.0 / np.expm1(1.4388e8 / (wavelength * teff))


def made(tmp_path: Path, *, known: int = len(NODES), edge: float = 0.0) -> Store:
    """Return the grid of the first nodes with their continua (and a step of `edge` in it), and the others without."""
    (tmp_path / "grid").mkdir()
    for k, (teff, logg) in enumerate(NODES):
        one = template(teff=teff, logg=logg)
        continuum = smooth(one.wavelength, teff) * np.where(one.wavelength > EDGE, 1.0 + edge, 1.0)
        write_intrigoss(tmp_path / "grid", replace(one, continuum=continuum) if k < known else one)
    return open_store(ingest(experiment(tmp_path)), made_by="ingest")


def test_straight_lines_between_the_nodes_give_the_continuum(tmp_path: Path) -> None:
    store = made(tmp_path)
    nodes, continua = store.column("continuum_wavelength"), store.column("continuum")
    assert nodes[[0, -1]] == pytest.approx(store.wavelength[[0, -1]], rel=1e-12)
    assert np.diff(nodes).max() <= 5.0
    for teff, continuum in zip(store.column("labels")[:, 0], continua, strict=True):
        between = np.interp(store.wavelength, nodes, continuum)
        np.testing.assert_allclose(between, smooth(store.wavelength, teff), rtol=ACCURACY)


def test_templates_whose_continuum_is_unknown_have_nan(tmp_path: Path) -> None:
    store = made(tmp_path, known=5)
    unknown = np.isnan(store.column("continuum"))
    assert unknown.all(axis=1).sum() == len(NODES) - 5
    assert unknown.any(axis=1).sum() == len(NODES) - 5
    assert "true continua of 5 of 12 templates are known" in (tmp_path / "run" / "logs" / "ingest.log").read_text()


def test_a_grid_without_continua_has_no_such_column(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    store = open_store(ingest(experiment(tmp_path)), made_by="ingest")
    assert not store.has("continuum")
    assert not store.has("continuum_wavelength")


def test_an_edge_that_the_nodes_cannot_follow_is_said(tmp_path: Path) -> None:
    made(tmp_path, edge=0.2)
    said = (tmp_path / "run" / "logs" / "ingest.log").read_text()
    assert re.search(r"off by up to 0\.(1|2)\d? \(more than 0\.0001 in 12 templates\)", said)


def test_the_shipped_grid_keeps_its_continuum(shared: Path) -> None:
    """Real continua, known every 1 A, from 4830 to 5400 A."""
    with np.load(shared / "data/reference_grid/reference.npz") as data:
        wavelength, rows = data["wl"], data["cont"][::200]
    nodes = continuum_nodes(4831.0, 5399.0)
    for row in rows:
        continuum = np.interp(wavelength, wavelength[::50], row)
        one = replace(template(), wavelength=wavelength, flux=continuum, continuum=continuum)
        known = continuum_at(one, nodes)
        assert known is not None
        assert known[1] < ACCURACY
