"""An ensemble in memory says of a spectrum what the stage says, whatever comes with it."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, StoreMismatchError
from starnet_hpc.predict import Ensemble, load_ensemble, members_there, predict
from starnet_hpc.predict.catalogue import Column
from starnet_hpc.progress import stage_log
from starnet_hpc.stores import Store, open_store
from tests import support


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return support.ready_to_predict(tmp_path / "run", survey=12, valid=48, predict={"batch_size": 1})


def loaded(config: ExperimentConfig) -> Ensemble:
    with stage_log("test", config.run_dir) as log:
        return load_ensemble(config, members_there(config), log)


def columns(ensemble: Ensemble, store: Store, rows: slice) -> dict[str, Column]:
    snr, flags = store.column("snr")[rows], store.column("flags")[rows]
    flux = store.read(0, len(store))[rows]
    return {c.name: c for c in ensemble.columns(store.column("id")[rows].tolist(), flux, snr, flags)}


def test_columns_are_those_of_the_catalogue(config: ExperimentConfig) -> None:
    found = columns(loaded(config), open_store(config.store("survey"), made_by="observe"), slice(None))
    table = Table.read(predict(config)[-1])
    assert list(found) == table.colnames
    assert (table["teff_err"] != table["teff_err_raw"]).all()
    for name, column in found.items():
        np.testing.assert_array_equal(column.values, table[name], err_msg=name)


def test_a_spectrum_does_not_depend_on_its_company(config: ExperimentConfig) -> None:
    ensemble, store = loaded(config), open_store(config.store("survey"), made_by="observe")
    together, alone = columns(ensemble, store, slice(None)), columns(ensemble, store, slice(7, 8))
    for name, column in alone.items():
        assert column.values[0] == together[name].values[7]


def test_calibrating_predicts_validation_spectra_and_nothing_else(config: ExperimentConfig) -> None:
    loaded(config)
    assert [path.name for path in (config.run_dir / "predictions").iterdir() if path.is_dir()] == ["valid"]
    assert not config.catalogue("survey").exists()


def test_members_that_are_missing_or_of_other_pixels_are_told_before_anything_is_written(
    config: ExperimentConfig,
) -> None:
    arm = {"start": 5150.01, "step": 0.03, "count": support.PIXELS}
    other = support.experiment(config.run_dir, instrument={"name": "shifted", "arms": [arm], "resolution": 20_000})
    with pytest.raises(StoreMismatchError, match=r"instrument: shifted has other pixels than the members in .*/run"):
        members_there(other)
    (config.member_dir(1) / "best.pt").unlink()
    with pytest.raises(MissingInputError, match=r"missing members: .*01/best\.pt"):
        members_there(config)
    assert not (config.run_dir / "predictions").exists()
