"""`survey_examples.npz`: a few observed spectra as they were before their continuum was removed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.errors import ObservationFormatError
from starnet_hpc.observe import examples as examples_module
from starnet_hpc.observe import observe
from starnet_hpc.stores import open_store
from tests.observe.cases import experiment, write_stars


def test_examples_divided_by_their_continuum_are_rows_of_the_store(tmp_path: Path) -> None:
    paths = write_stars(tmp_path / "observed", 12)
    paths[0].write_bytes(b"broken")
    config = experiment(tmp_path)
    store = open_store(observe(config), made_by="observe")
    with np.load(config.run_dir / "survey_examples.npz", allow_pickle=False) as examples:
        rows = examples["row"]
        assert rows.size == 8
        assert rows[[0, -1]].tolist() == [1, 11]  # the first cannot be read
        assert examples["id"].tolist() == store.column("id")[rows].tolist()
        assert examples["snr"].tolist() == [90.0] * 8
        assert examples["wavelength"].tolist() == store.wavelength.tolist()
        normalised = np.nan_to_num(examples["flux"] / examples["continuum"])
        np.testing.assert_array_equal(normalised, store.read(0, 12)[rows])


def test_examples_are_written_once_and_again_when_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_stars(tmp_path / "observed", 3)
    config = experiment(tmp_path)
    observe(config)
    path = config.run_dir / "survey_examples.npz"
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    observe(config)
    assert path.stat().st_mtime_ns == written
    path.unlink()
    observe(config)
    assert path.read_bytes() == before
    # A file that has become unreadable since is no reason to fail: the store is complete.
    path.unlink()
    read = examples_module.read_observation

    def out_of_reach(file: Path, *arguments: Any) -> Any:
        if file == paths[1]:
            raise ObservationFormatError(f"{file}: cannot be read")
        return read(file, *arguments)

    monkeypatch.setattr(examples_module, "read_observation", out_of_reach)
    observe(config)
    with np.load(path, allow_pickle=False) as examples:
        assert examples["row"].tolist() == [0, 2]
    assert "not among the report's example spectra" in (config.run_dir / "logs" / "observe.log").read_text()


def test_a_survey_says_what_its_snr_is_and_how_it_is_distributed(tmp_path: Path) -> None:
    write_stars(tmp_path / "observed", 3)
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,snr\n" + "".join(f"observed/star0{k}.fits,{snr}\n" for k, snr in enumerate((20, 30, 80))))
    store = open_store(observe(experiment(tmp_path, survey={"manifest": str(manifest)})), made_by="observe")
    assert "manifest" in store.attributes["snr_definition"]
    assert store.attributes["snr_quantiles"]["50 %"] == 30.0
