"""The catalogue: what it says of each row, and that others can read it."""

import json
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.flags import Flag
from starnet_hpc.labels import LABELS
from starnet_hpc.networks import load_member
from starnet_hpc.predict import joining, predict
from starnet_hpc.predict.catalogue import as_text, catalogue_columns, settings
from starnet_hpc.predict.flagging import flags_of, known_before
from starnet_hpc.predict.tablefiles import write_catalogue
from starnet_hpc.stores import open_store
from tests import support

ROWS = 40
PARTS = ("", "_err", "_err_raw", "_aleatoric", "_epistemic")
NAN_ROW, ZERO_ROW, PARTLY_NAN_ROW, MASKED_ROW, NOISY_ROW = 3, 11, 17, 23, 31


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """A predicted survey with rows of every kind."""
    config = support.ready_to_predict(
        tmp_path_factory.mktemp("catalogue") / "run", survey=ROWS, test=16, ensemble={"members": 3}
    )
    store = open_store(config.store("survey"), made_by="observe")
    flux = store.read(0, ROWS).astype(np.float32)
    flux[ZERO_ROW] = 0.0
    flux[MASKED_ROW, 50:60] = 0.0
    columns = {name: store.column(name) for name in ("group", "reference", "reference_error", "masked_fraction")}
    columns["group"] = columns["group"].astype(str)
    columns["id"] = np.array([f"star {row}" if row else "α Cen" for row in range(ROWS)])
    columns["snr"] = np.where(np.arange(ROWS) == NOISY_ROW, 5.0, 50.0)
    columns["snr"][ZERO_ROW] = np.nan
    columns["flags"] = np.where(np.arange(ROWS) == ZERO_ROW, int(Flag.UNREADABLE | Flag.UNKNOWN_SNR), 0).astype("u4")
    config.store("survey").rename(config.run_dir / "old.zarr")
    support.write_rows(config, "survey", flux, columns, shard_rows=16)
    written = zarr.open_group(config.store("survey"), mode="r+")["flux"]
    assert isinstance(written, zarr.Array)
    written[NAN_ROW] = np.nan  # no stage of ours writes these, but a store can come from elsewhere
    written[PARTLY_NAN_ROW, 100] = np.nan
    predict(config)
    return config


@pytest.fixture(scope="module")
def table(config: ExperimentConfig) -> Table:
    return Table.read(config.catalogue("survey"))


def by_hand(config: ExperimentConfig, flux: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """Mean, aleatoric and epistemic sigma, each [rows, labels], by the paper's equations on the networks' outputs."""
    means, variances = members_by_hand(config, flux)
    return np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0)), np.std(means, axis=0)


def members_by_hand(
    config: ExperimentConfig, flux: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and variances of each member [members, rows, labels]."""
    import torch

    means, variances = [], []
    for number in range(config.ensemble.members):
        member = load_member(config.member_dir(number) / "best.pt")
        with torch.inference_mode():
            mean, variance = (part.double().numpy() for part in member.network(torch.from_numpy(flux)))
        scatter = np.array(member.trained_on.label_std)
        means.append(mean * scatter + np.array(member.trained_on.label_mean))
        variances.append(variance * scatter**2)
    return np.stack(means), np.stack(variances)


def test_labels_and_uncertainties_are_those_of_the_papers_equations(config: ExperimentConfig, table: Table) -> None:
    good = [row for row in range(ROWS) if row not in {NAN_ROW, ZERO_ROW, PARTLY_NAN_ROW}]
    flux = open_store(config.store("survey"), made_by="observe").read(0, ROWS)[good].astype(np.float32)
    mean, aleatoric, epistemic = by_hand(config, flux)
    for k, name in enumerate(support.LABELS):
        sigma = np.hypot(aleatoric, epistemic)[:, k]
        # Other batches change float32 sums by parts in a million of the network's numbers.
        np.testing.assert_allclose(table[name][good], mean[:, k], rtol=0, atol=1e-4 * sigma.min())
        np.testing.assert_allclose(table[f"{name}_aleatoric"][good], aleatoric[:, k], rtol=1e-4)
        np.testing.assert_allclose(table[f"{name}_epistemic"][good], epistemic[:, k], rtol=0, atol=1e-4 * sigma.min())
        np.testing.assert_allclose(table[f"{name}_err_raw"][good], sigma, rtol=1e-4)
        # No validation spectra here to calibrate with.
        np.testing.assert_array_equal(table[f"{name}_err"], table[f"{name}_err_raw"])


def test_rows_that_could_not_be_used_keep_their_place_without_labels(table: Table) -> None:
    assert list(table["id"][1:]) == [f"star {row}" for row in range(1, ROWS)]
    unusable = np.isin(np.arange(ROWS), [NAN_ROW, ZERO_ROW, PARTLY_NAN_ROW])
    for name in support.LABELS:
        for part in PARTS:
            np.testing.assert_array_equal(np.isnan(table[name + part]), unusable)
    np.testing.assert_array_equal(table["flags"] & Flag.BAD_INPUT != 0, unusable)
    np.testing.assert_array_equal(table["n_members"], np.where(unusable, 0, 3))


def test_flags_of_the_survey_stay_and_noise_is_flagged(table: Table) -> None:
    assert table["flags"][ZERO_ROW] == Flag.UNREADABLE | Flag.UNKNOWN_SNR | Flag.BAD_INPUT
    assert table["flags"][NOISY_ROW] == Flag.LOW_SNR
    assert table["flags"][MASKED_ROW] == 0


def test_labels_outside_the_trained_range_are_flagged_each_for_itself(config: ExperimentConfig) -> None:
    store, known = open_store(config.store("test"), made_by="augment"), support.trained_on(config)
    mean = np.tile(known.label_mean, (16, 1))
    mean[1, 0], mean[2, 1], mean[3, 2] = known.label_max[0] + 1, known.label_min[1] - 0.1, known.label_max[2] + 1
    mean[4] = known.label_max
    mean[5] = np.nan
    flags = flags_of(*known_before(store), mean, known)
    assert list(flags[:6]) == [0, Flag.OUTSIDE_TEFF, Flag.OUTSIDE_FEH, Flag.OUTSIDE_VRAD, 0, Flag.BAD_INPUT]


def test_a_test_catalogue_has_rows_in_the_stores_order(config: ExperimentConfig) -> None:
    found = Table.read(config.catalogue("test"))
    assert list(found["id"]) == [f"test-{row:07d}" for row in range(16)]


def test_astropy_reads_the_catalogue_with_units_and_without_a_warning(config: ExperimentConfig) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = QTable.read(config.catalogue("survey"))
    assert found["teff_err"].unit == u.K
    assert found["vrad_epistemic"].unit == u.km / u.s
    assert not hasattr(found["feh"], "unit") or found["feh"].unit in {None, u.dimensionless_unscaled}


def test_every_column_says_what_it_is(config: ExperimentConfig) -> None:
    header = fits.getheader(config.catalogue("survey"), 1)
    names = {header[f"TTYPE{k}"]: k for k in range(1, header["TFIELDS"] + 1)}
    expected = ["id", *(f"{n}{p}" for n in support.LABELS for p in PARTS)]
    assert list(names) == [*expected, "feature_distance", "flags", "n_members"]
    for name, k in names.items():
        label = LABELS.get(name.split("_")[0])
        assert header[f"TCOMM{k}"]
        if label:
            assert header[f"TCOMM{k}"].startswith(label.description)
            # The FITS standard knows no dex, and readers complain of units that it does not know.
            assert header.get(f"TUNIT{k}") == (None if label.unit == "dex" else label.unit)
            assert ("[dex]" in header[f"TCOMM{k}"]) == (label.unit == "dex")


def test_the_header_tells_the_meaning_of_the_flags_and_where_everything_comes_from(config: ExperimentConfig) -> None:
    header = fits.getheader(config.catalogue("survey"), 1)
    comments = "\n".join(header["COMMENT"])
    assert all(flag.name in comments and str(flag.value) in comments for flag in Flag)
    assert (header["EXPNAME"], header["NMEMBERS"], header["INPUT"]) == ("tiny", 3, "survey.zarr")
    store = open_store(config.store("survey"), made_by="observe")
    assert header["INPUTDIG"] == store.content_digest
    assert header["TRAINDIG"] == support.trained_on(config).train_digest
    assert "DATE" not in header


def test_checksums_verify_and_a_changed_byte_is_found(config: ExperimentConfig, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(config.catalogue("survey"), checksum=True) as hdus:
            hdus.verify("exception")
            assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
    data = bytearray(config.catalogue("survey").read_bytes())
    data[-2880] ^= 1
    (tmp_path / "changed.fits").write_bytes(data)
    with (
        pytest.warns(Warning, match="verification failed"),
        fits.open(tmp_path / "changed.fits", checksum=True) as hdus,
    ):
        assert len(hdus) == 2


def test_parquet_holds_the_same_table_with_units(config: ExperimentConfig, table: Table) -> None:
    found = pq.read_table(config.catalogue("survey").with_suffix(".parquet"))
    assert found.column_names == table.colnames
    for name in table.colnames[1:]:
        np.testing.assert_array_equal(found[name].to_numpy(), np.asarray(table[name]))
    field = found.schema.field("feh_err")
    assert field.metadata[b"unit"] == b"dex"
    assert found.schema.metadata[b"EXPNAME"] == b"tiny"
    assert int(found.schema.metadata[b"flag_LOW_SNR"]) == Flag.LOW_SNR


def test_pandas_reads_both_files_as_they_are(config: ExperimentConfig, table: Table) -> None:
    path = config.catalogue("survey")
    for found in (pd.read_parquet(path.with_suffix(".parquet")), table.to_pandas()):
        assert list(found.columns) == table.colnames
        assert found["id"].is_unique
        for name in table.colnames[1:]:
            np.testing.assert_array_equal(found[name].to_numpy(), fits.getdata(path)[name])


def test_the_settings_in_the_header_are_those_of_the_run_but_for_places(config: ExperimentConfig) -> None:
    told = json.loads(fits.getheader(config.catalogue("survey"), 1)["CONFIG"])
    whole = config.model_dump(mode="json")
    assert told["instrument"] == whole["instrument"]
    assert told["grid"] == whole["grid"]
    assert told["predict"]["batch_size"] == config.predict.batch_size
    assert not {"run_dir", "cluster"} & set(told)
    assert "ranks_per_shard" not in told["predict"]
    # A quote is what FITS doubles, and a reader may find half of it at the end of a card.
    assert json.loads(settings(config.model_copy(update={"name": "it's"})))["name"] == "it's"


def test_correlations_between_the_members_are_columns_if_they_are_wanted(config: ExperimentConfig) -> None:
    wanted = config.model_copy(update={"predict": config.predict.model_copy(update={"correlations": True})})
    before = Table.read(config.catalogue("survey"))
    predict(wanted)
    found = Table.read(config.catalogue("survey"))
    predict(config)
    assert Table.read(config.catalogue("survey")).colnames == before.colnames
    pairs = [f"{a}_{b}_corr" for a, b in combinations(support.LABELS, 2)]
    assert [name for name in found.colnames if name not in before.colnames] == pairs
    flux = open_store(config.store("survey"), made_by="observe").read(0, ROWS).astype(np.float32)
    good = np.isfinite(flux).all(axis=1) & (flux != 0).any(axis=1)
    means, _ = members_by_hand(config, flux[good])
    for name, (a, b) in zip(pairs, combinations(range(3), 2), strict=True):
        expected = [np.corrcoef(means[:, row, a], means[:, row, b])[0, 1] for row in range(good.sum())]
        # Where members hardly differ, float32 sums of other batches are a larger part of that.
        np.testing.assert_allclose(found[name][good], expected, atol=1e-2)
        np.testing.assert_array_equal(np.ma.getmaskarray(found[name]), ~good)


def test_a_catalogue_that_is_joined_in_many_blocks_is_the_same(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config.catalogue("survey")
    before, table = path.read_bytes(), pq.read_table(path.with_suffix(".parquet"))
    assert config.predict.shard_rows < ROWS
    monkeypatch.setattr(joining, "_BLOCK_ROWS", 1)
    path.unlink()
    predict(config)
    assert path.read_bytes() == before
    assert pq.ParquetFile(path.with_suffix(".parquet")).num_row_groups == -(-ROWS // config.predict.shard_rows)
    pd.testing.assert_frame_equal(pq.read_table(path.with_suffix(".parquet")).to_pandas(), table.to_pandas())
    monkeypatch.undo()
    path.unlink()
    predict(config)


def test_names_with_other_letters_than_ascii_are_spelt_out_in_fits_and_whole_in_parquet(
    config: ExperimentConfig, table: Table
) -> None:
    assert table["id"][0] == r"\u03b1 Cen"
    assert pq.read_table(config.catalogue("survey").with_suffix(".parquet"))["id"][0].as_py() == "α Cen"


def test_a_table_without_rows_and_long_names_can_be_written(tmp_path: Path) -> None:
    nothing = np.zeros((0, 1))
    columns = catalogue_columns(
        as_text([]), ("teff",), (nothing,) * len(PARTS), np.zeros(0), np.zeros(0, dtype=np.int32), 3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_catalogue(tmp_path / "empty.fits", [columns], {"EXPNAME": ("a name " * 20, "experiment")})
        assert len(Table.read(tmp_path / "empty.fits")) == 0
    assert fits.getheader(tmp_path / "empty.fits", 1)["EXPNAME"] == ("a name " * 20).rstrip()
