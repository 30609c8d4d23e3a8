"""`tools/make_reference_grid.py` writes a folder that `grid.format: table` reads."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.grids import reader_for
from tests.grids.templates import is_template

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_reference_grid.py"
ROWS, SAMPLES = 67, 201  # more than one shard


def test_its_folder_holds_labels_flux_and_continuum_of_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wavelength = 5000.0 + 0.02 * np.arange(SAMPLES)
    labels = np.full((ROWS, 5), 0.1)
    labels[:, :3] = np.column_stack([4000.0 + np.arange(ROWS), np.full(ROWS, 4.5), -0.01 * np.arange(ROWS)])
    shape = np.linspace(0.2, 1.0, SAMPLES) * np.linspace(0.5, 1.0, ROWS)[:, None]
    slope = 1e6 * (1.0 + 0.1 * (wavelength - 5000.0))  # a straight line, so that its nodes say all of it
    np.savez(
        tmp_path / "reference.npz",
        wl=wavelength,
        par=labels,
        norm=np.round(65_535 * shape).astype(np.uint16),
        cont=np.tile(slope[::50], (ROWS, 1)),
    )
    monkeypatch.setattr(sys, "argv", [TOOL.name, str(tmp_path / "reference.npz"), str(tmp_path / "grid")])
    runpy.run_path(str(TOOL), run_name="__main__")
    sources = reader_for("table").sources(tmp_path / "grid")
    assert len(sources) == ROWS
    for row in (0, 63, 64, 66):
        made = reader_for("table").read(sources[row])
        assert is_template(made)
        assert made.labels == pytest.approx(dict(zip(("teff", "logg", "feh", "afe"), labels[row], strict=False)))
        assert made.extra == {"vmicro": 0.1}
        np.testing.assert_allclose(made.wavelength, wavelength)
        np.testing.assert_allclose(made.continuum, slope, rtol=1e-6)  # float32
        np.testing.assert_allclose(made.flux, slope * shape[row], atol=1e6 / 65_535)
