"""The spectrum of the predicted labels: what it leaves of the right star is noise, and more of anything else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, MissingInputError
from starnet_hpc.flags import Flag
from starnet_hpc.launch.rundir import claim
from starnet_hpc.networks import load_member
from starnet_hpc.predict import predict
from starnet_hpc.predict.flagging import known_before
from starnet_hpc.predict.limits import read_limits
from starnet_hpc.predict.reconstruction import Reconstruction, Usual, find_usual, wanted_reconstruction
from starnet_hpc.stores import Store, open_store
from tests import support
from tests.augment import cases
from tests.predict.test_mpi import mpi


def smooth(wavelength: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Flux [n] whose lines depend on one label each, smoothly: as spectra do between the nodes of a fine grid."""
    centres, width = np.linspace(5146.0, 5194.0, 60), 0.12
    unit = (labels - [4000.0, 1.0, -2.0, 0.0]) / [3000.0, 4.0, 2.5, 0.4]
    strength = 0.1 + 0.9 * unit[np.arange(60) % 4] ** 2
    return np.exp(-(strength[:, None] * np.exp(-0.5 * ((wavelength - centres[:, None]) / width) ** 2)).sum(axis=0))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """A run that is ready to predict, with untrained members, which answer anything."""
    config = cases.experiment(
        tmp_path_factory.mktemp("reconstruction") / "run",
        augment={"vrad_max": 30.0, "vsini_max": 15.0, "noise_max": 0.05},
        network={"channels": [8, 8], "dense": 16},
        ensemble={"members": 2},
        predict={"reconstruction": True, "batch_size": 8, "shard_rows": 8},
    )
    cases.write_grid(config, templates=240, form=smooth)
    augment(config)
    for member in range(2):
        support.write_member(config, member)
    return config


@pytest.fixture
def config(inputs: ExperimentConfig, tmp_path: Path) -> ExperimentConfig:
    shutil.copytree(inputs.run_dir, tmp_path / "run")
    config = inputs.model_copy(update={"run_dir": tmp_path / "run"})
    claim(config)
    return config


@pytest.fixture(scope="module")
def reconstruction(inputs: ExperimentConfig) -> Reconstruction:
    found = wanted_reconstruction(inputs, load_member(inputs.member_dir(0) / "best.pt").trained_on)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def test_store(inputs: ExperimentConfig) -> Store:
    return open_store(inputs.store("test"), made_by="augment")


def misfit(reconstruction: Reconstruction, store: Store, flux: np.ndarray) -> np.ndarray:
    """Misfit of spectra whose labels are the store's, by what is usual for the store itself."""
    _, snr = known_before(store)
    own = reconstruction.leftovers(store.read(0, len(store)), store.labels(), store.label_names)
    return find_usual(own, snr).misfit(reconstruction.leftovers(flux, store.labels(), store.label_names), snr)


def test_of_the_right_star_noise_is_left(reconstruction: Reconstruction, test_store: Store) -> None:
    found = misfit(reconstruction, test_store, test_store.read(0, len(test_store)))
    _, snr = known_before(test_store)
    # Noise of 800 pixels is known to 2.5 %.
    np.testing.assert_allclose(found[snr < 50], 1.0, atol=0.2)
    assert np.median(found) == pytest.approx(1.0, abs=0.1)


def test_another_continuum_changes_little_and_masked_pixels_nothing(
    reconstruction: Reconstruction, test_store: Store
) -> None:
    flux = test_store.read(0, len(test_store)).astype(np.float32)
    before = misfit(reconstruction, test_store, flux)
    tilted = flux * np.linspace(0.9, 1.15, flux.shape[1], dtype=np.float32)
    np.testing.assert_allclose(misfit(reconstruction, test_store, tilted), before, rtol=0.15)
    masked, broken = flux.copy(), flux.copy()
    masked[:, 300:330], broken[:, 300:330] = 0.0, 3.0
    np.testing.assert_allclose(misfit(reconstruction, test_store, masked), before, rtol=0.15)
    assert (misfit(reconstruction, test_store, broken) > 2 * before).all()


def test_windows_that_networks_ignore_are_not_compared_and_move_with_the_star_that_is_shifted_to_rest(
    inputs: ExperimentConfig, test_store: Store
) -> None:
    network = inputs.network.model_copy(update={"ignore": ((5165.0, 5166.5),)})
    trained_on = load_member(inputs.member_dir(0) / "best.pt").trained_on
    flux, wavelength = test_store.read(0, 1).astype(np.float32), test_store.wavelength
    labels = test_store.labels()[:1].copy()
    vrad = labels[0, test_store.label_names.index("vrad")]
    assert abs(vrad) > 5.0
    for mode, factor in (("network", 1.0), ("ccf", 1.0 + vrad / 299792.458)):
        told = inputs.predict.model_copy(update={"radial_velocity": mode})
        with_windows = wanted_reconstruction(
            inputs.model_copy(update={"network": network, "predict": told}), trained_on
        )
        assert with_windows is not None
        inside = (wavelength > 5165.0 * factor) & (wavelength < 5166.5 * factor)
        spoilt = np.where(inside, 5.0, flux)
        there, spoilt_there = (with_windows.leftovers(f, labels, test_store.label_names) for f in (flux, spoilt))
        np.testing.assert_array_equal(there, spoilt_there)


def test_a_spectrum_of_other_labels_and_of_two_stars_leaves_more(
    reconstruction: Reconstruction, test_store: Store
) -> None:
    flux = test_store.read(0, len(test_store)).astype(np.float32)
    before = misfit(reconstruction, test_store, flux)
    for other in (np.roll(flux, 1, axis=0), 0.5 * (flux + np.roll(flux, 1, axis=0))):
        assert np.median(misfit(reconstruction, test_store, other) / before) > 1.5


def test_labels_far_from_the_grid_or_missing_have_no_spectrum(
    reconstruction: Reconstruction, test_store: Store
) -> None:
    labels = test_store.labels()[:4].copy()
    labels[0, 0], labels[1, 1], labels[2, test_store.label_names.index("vrad")] = 20_000.0, np.nan, 5e3
    found = reconstruction.leftovers(test_store.read(0, 4), labels, test_store.label_names)
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3]).all()


def test_what_is_usual_is_found_again_from_made_up_leftovers() -> None:
    generator = np.random.default_rng(2)
    snr, lines = generator.uniform(20, 200, 4000), generator.uniform(0.05, 0.2, 4000) ** 2
    variance = 1 / snr**2 + 0.1**2 * lines
    left = np.column_stack([variance * generator.chisquare(500, 4000) / 500, lines, np.ones(4000)])
    usual = find_usual(left, snr)
    assert usual.line_share == pytest.approx(0.1, rel=0.05)
    assert np.mean(usual.misfit(left, snr) > usual.limit) == pytest.approx(0.01, abs=2e-3)
    left[::2], snr[1::4] = np.nan, np.nan
    assert find_usual(left, snr).line_share == pytest.approx(0.1, rel=0.1)
    unknown = find_usual(np.empty((0, 3)), np.empty(0))
    assert np.isnan([unknown.line_share, unknown.limit, Usual.unknown().limit]).all()


def test_the_catalogue_has_misfits_and_flags_those_beyond_the_limit(config: ExperimentConfig) -> None:
    predict(config)
    table = Table.read(config.catalogue("test"))
    limits = read_limits(config.run_dir / "predictions" / "limits.json", 6)
    assert table.meta["MISLIM"] == f"{limits.usual.limit:.6g}"
    found = np.ma.filled(table["misfit"], np.nan)
    assert np.isfinite(found).any()
    np.testing.assert_array_equal((table["flags"] & Flag.POOR_FIT) != 0, found > limits.usual.limit)


def test_any_number_of_ranks_writes_the_same_bytes(config: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(config.run_dir, tmp_path / "alone")
    alone = config.model_copy(update={"run_dir": tmp_path / "alone"})
    predict(alone)
    together = config.model_copy(update={"predict": config.predict.model_copy(update={"ranks_per_shard": 2})})
    claim(together)
    done = mpi(2, together)
    assert done.returncode == 0, done.stderr
    assert together.catalogue("test").read_bytes() == alone.catalogue("test").read_bytes()


def test_without_the_check_there_is_no_column_and_no_grid_is_needed(config: ExperimentConfig) -> None:
    shutil.rmtree(config.store("grid"))
    with pytest.raises(MissingInputError, match=r"grid\.zarr"):
        predict(config)
    predict(config.model_copy(update={"predict": config.predict.model_copy(update={"reconstruction": False})}))
    table = Table.read(config.catalogue("test"))
    assert "misfit" not in table.colnames
    assert "MISLIM" not in table.meta
    assert not (table["flags"] & Flag.POOR_FIT).any()


def test_members_that_do_not_tell_the_grids_labels_are_refused(config: ExperimentConfig) -> None:
    known = load_member(config.member_dir(0) / "best.pt").trained_on
    known.label_names.remove("afe")
    with pytest.raises(ConfigError, match=r"predict\.reconstruction: the members do not tell afe"):
        wanted_reconstruction(config, known)
