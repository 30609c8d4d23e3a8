"""What only some formats bring to `ingest`: empty nodes, elements as labels, spectra that somebody has broadened."""

import re
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.errors import ConfigError, CoverageError, GridFormatError
from starnet_hpc.grids import mpia
from starnet_hpc.ingest import ingest
from starnet_hpc.ingest.summary import summarise, table
from starnet_hpc.labels import training_labels
from starnet_hpc.stores import open_store
from tests.grids.files import ferre_header, ferre_rows, write_ferre, write_mpia
from tests.ingest.cases import experiment


def write_elements(folder: Path, values: tuple[tuple[float, float], ...]) -> None:
    folder.mkdir(exist_ok=True)
    for number, (oxygen, magnesium) in enumerate(values):
        write_mpia(folder, f"8 12 : {oxygen} {magnesium}", f"{number}_N")


def test_empty_nodes_are_left_out_and_counted_whatever_on_error_says(tmp_path: Path) -> None:
    rows = [made.flux for made in ferre_rows()]
    rows[2] = np.zeros(801)
    (tmp_path / "grid").mkdir()
    write_ferre(tmp_path / "grid", ferre_header(), rows)
    config = experiment(tmp_path, grid={"format": "ferre"})
    store = open_store(ingest(config), made_by="ingest")
    assert store.label_names == ("teff", "logg", "feh")
    assert "f_test.dat#2" not in store.column("source").tolist()
    assert len(store) == 7
    summary = store.attributes["summary"]
    assert (summary["holes"], summary["first_holes"]) == (1, [[5500.0, 3.0, -0.5]])
    assert summary["labels"]["teff"]["counts"] == [[5000.0, 4], [5500.0, 3]]
    log = (config.run_dir / "logs" / "ingest.log").read_text()
    assert "1 nodes of the grid in" in log
    assert "1 of the 8 nodes that these values span are not there" in log
    assert "teff 5500, logg 3.00, feh -0.50" in log


def test_a_grid_without_alpha_has_it_neither_as_label_nor_in_its_cut(tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    write_ferre(tmp_path / "grid")
    with pytest.raises(ConfigError, match=r"grid\.cut\.afe: .* does not vary afe; it varies teff, logg, feh$"):
        ingest(experiment(tmp_path, grid={"format": "ferre", "cut": {"afe": [0, 1]}}))


def test_elements_are_labels_in_the_store_and_in_the_cut(tmp_path: Path) -> None:
    write_elements(tmp_path / "grid", ((0.1, 0.2), (0.1, 0.3), (0.2, 0.4)))
    grid = {"format": "mpia_nlte", "cut": {"elements": {"mg_fe": [0.25, 0.5]}}}
    store = open_store(ingest(experiment(tmp_path, grid=grid)), made_by="ingest")
    assert store.label_names == ("teff", "logg", "feh", "o_fe", "mg_fe")
    assert store.column("labels")[:, 3:].tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert training_labels(store.label_names) == ("teff", "logg", "feh", "o_fe", "mg_fe", "vsini", "vrad")


def test_a_file_that_lacks_a_label_of_the_others_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpia, "_ASKED", 1)
    write_elements(tmp_path / "grid", ((0.2, 0.2), (0.1, 0.3)))
    with pytest.raises(GridFormatError, match=r"1_N: does not say afe, which the grid's other files vary"):
        ingest(experiment(tmp_path, grid={"format": "mpia_nlte"}))


def test_spectra_that_rotate_already_are_refused(tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    path = write_mpia(tmp_path / "grid")
    path.write_text(path.read_text().replace("1.00 0.0 0.0", "1.00 0.0 7.5"))
    with pytest.raises(GridFormatError, match=r"has a rotation of 7.5 km/s already, which the augmentation adds"):
        ingest(experiment(tmp_path, grid={"format": "mpia_nlte"}))


def test_sampled_labels_have_no_holes() -> None:
    sampled = np.random.default_rng(1).random((50, 4))
    summary = summarise(sampled, ("teff", "logg", "feh", "afe"))
    assert (summary["on_nodes"], summary["holes"]) == (False, None)
    assert "the labels are sampled" in table(summary)[-1]


def test_templates_that_share_a_node_fill_no_hole() -> None:
    """Two of them differ in microturbulence, which is no label."""
    labels = np.array([[5000.0, 1.0], [5000.0, 1.0], [5000.0, 2.0], [6000.0, -0.0]])
    summary = summarise(labels, ("teff", "logg"))
    assert summary["holes"] == 6 - 3
    assert summary["first_holes"] == [[5000.0, 0.0], [6000.0, 1.0], [6000.0, 2.0]]


def test_duplicates_are_counted_in_the_log(tmp_path: Path) -> None:
    write_elements(tmp_path / "grid", ((0.2, 0.2), (0.2, 0.2), (0.3, 0.3)))
    config = experiment(tmp_path, grid={"format": "mpia_nlte", "on_error": "skip"})
    assert len(open_store(ingest(config), made_by="ingest")) == 2
    assert "1 of them have the same labels as another" in (config.run_dir / "logs" / "ingest.log").read_text()


@pytest.mark.parametrize(("factor", "hint"), [(1.0, "smaller velocities$"), (0.1, r"are these wavelengths in nm\?")])
def test_what_a_file_covers_is_said_of_all_of_it_not_of_the_window(tmp_path: Path, factor: float, hint: str) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    wavelength = (4900.0 if factor == 1.0 else 5000.0) + 0.1 * np.arange(2500 if factor == 1.0 else 4000)
    flux = np.ones((2, wavelength.size))
    np.savez(folder / "spectra.npz", wavelength=wavelength * factor, flux=flux, medium="air", unit="Angstrom")
    (folder / "labels.csv").write_text("teff,logg,feh\n5000,4,0\n5500,4,0\n")
    low, high = wavelength[[0, -1]] * factor
    with pytest.raises(CoverageError) as caught:
        ingest(experiment(tmp_path, grid={"format": "table"}))
    said = str(caught.value).split("\n")[0]
    assert f"covers {low:.2f} to {high:.2f} A, but" in said
    assert re.search(hint, said)
