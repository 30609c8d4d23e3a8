"""Velocity first: spectra are shifted to rest, the members see them there, and the catalogue adds up what was found."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.table import Table

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig, InstrumentConfig, load_config, resolved_yaml
from starnet_hpc.errors import ConfigError, MissingInputError, StoreDamagedError
from starnet_hpc.flags import Flag
from starnet_hpc.instruments import build_instrument, load_instrument
from starnet_hpc.kernels.correlation import Velocity
from starnet_hpc.kernels.pixels import C_KMS
from starnet_hpc.launch.rundir import claim
from starnet_hpc.networks import load_member
from starnet_hpc.predict import predict
from starnet_hpc.predict.templates import keep_templates, read_templates, representatives, templates_file
from starnet_hpc.predict.velocity import RestFrame, rest_frame
from starnet_hpc.stores import open_store
from tests import support
from tests.augment import cases
from tests.predict.test_mpi import mpi

LIMIT = 120.0
CATALOGUES = ("test_catalogue.fits", "wide_catalogue.fits", "wide_catalogue.parquet", "predictions/validation.json")


def near_rest(run_dir: Path, wide: Path, **changes: object) -> ExperimentConfig:
    return cases.experiment(
        run_dir,
        augment={"vrad_max": 2.0, "vsini_max": 20.0},
        network={"channels": [8, 8], "dense": 16},
        ensemble={"members": 2},
        predict={
            "radial_velocity": "ccf",
            "velocity_limit": LIMIT,
            "batch_size": 8,
            "shard_rows": 8,
            "other_tests": {"wide": str(wide)},
            **changes,
        },
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """A run near rest that is ready to predict, also the test spectra of another one, with velocities to 100 km/s."""
    folder = tmp_path_factory.mktemp("velocity")
    wide = cases.experiment(folder / "wide", augment={"vrad_max": 100.0, "vsini_max": 20.0, "noise_max": 0.05})
    near = near_rest(folder / "near", wide.store("test"))
    for config in (wide, near):
        cases.write_grid(config)
        augment(config)
    for member in range(2):
        support.write_member(near, member)
    return near


@pytest.fixture
def config(inputs: ExperimentConfig, tmp_path: Path) -> ExperimentConfig:
    shutil.copytree(inputs.run_dir, tmp_path / "run")
    config = near_rest(tmp_path / "run", inputs.store("wide"))
    claim(config)
    return config


def frame(config: ExperimentConfig) -> RestFrame:
    keep_templates(config)
    return rest_frame(config)


def products(config: ExperimentConfig) -> dict[str, bytes]:
    return {name: (config.run_dir / name).read_bytes() for name in CATALOGUES}


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_the_catalogue_has_both_velocities_and_their_sum(config: ExperimentConfig) -> None:
    predict(config)
    found, store = Table.read(config.catalogue("wide")), open_store(config.store("wide"), made_by="augment")
    truth = store.column("draws/vrad")
    assert np.abs(truth).max() > 80
    pull = (found["vrad_ccf"] - truth) / found["vrad_ccf_err"]
    assert np.mean(np.abs(pull) < 3) > 0.9
    assert np.median(np.abs(found["vrad_ccf"] - truth)) < 0.5
    assert found.meta["RVLIMIT"] == "120"

    flux = store.read(0, len(store))
    shifted, _ = frame(config).shifted(flux)
    seen = []
    for number in range(2):
        member = load_member(config.member_dir(number) / "best.pt", "cpu")
        with torch.inference_mode():
            prediction = member.network(torch.from_numpy(shifted))
        seen.append(member.trained_on.scale.physical(prediction.mean.numpy(), prediction.variance.numpy())[0])
    names = member.trained_on.label_names
    mean, k = np.mean(seen, axis=0), names.index("vrad")
    np.testing.assert_allclose(found["vrad"] - found["vrad_ccf"], mean[:, k], atol=1e-4)
    np.testing.assert_allclose(found["teff"], mean[:, names.index("teff")], rtol=1e-5)
    # What is outside the trained range is the residual velocity, not the star's.
    outside = (np.asarray(found["flags"]) & Flag.OUTSIDE_VRAD) != 0
    low, high = member.trained_on.label_min[k], member.trained_on.label_max[k]
    np.testing.assert_array_equal(outside, (mean[:, k] < low) | (mean[:, k] > high))


def test_a_rerun_needs_no_grid_and_writes_nothing(config: ExperimentConfig) -> None:
    predict(config)
    shutil.rmtree(config.store("grid"))
    files = [path for path in config.run_dir.rglob("*") if path.is_file() and "logs" not in path.parts]
    before = [path.stat().st_mtime_ns for path in files]
    predict(config)
    assert [path.stat().st_mtime_ns for path in files] == before


def test_any_number_of_ranks_writes_the_same_bytes(config: ExperimentConfig, tmp_path: Path) -> None:
    shutil.copytree(config.run_dir, tmp_path / "alone")
    alone = config.model_copy(update={"run_dir": tmp_path / "alone"})
    predict(alone)
    together = config.model_copy(update={"predict": config.predict.model_copy(update={"ranks_per_shard": 2})})
    claim(together)
    done = mpi(3, together)
    assert done.returncode == 0, done.stderr
    assert products(together) == products(alone)


def test_networks_alone_know_nothing_of_templates(config: ExperimentConfig) -> None:
    alone = config.model_copy(update={"predict": config.predict.model_copy(update={"radial_velocity": "network"})})
    shutil.rmtree(config.store("grid"))
    predict(alone)
    found = Table.read(config.catalogue("wide"))
    assert "vrad" in found.colnames
    assert not {"vrad_ccf", "vrad_ccf_err"} & set(found.colnames)
    assert not templates_file(config).exists()


def test_spectra_without_a_velocity_have_no_labels(config: ExperimentConfig) -> None:
    pixels = load_instrument(config.instrument).wavelength.size
    flux = np.ones((3, pixels), dtype=np.float32)
    flux[0, 20:] = 0.0
    flux[1, 5] = np.nan
    shifted, velocity = frame(config).shifted(flux)
    assert np.isnan(velocity[:2]).all()
    assert np.isnan(shifted[:2]).all()


# --- shifting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kms", [-90.0, 0.0, 33.3])
def test_a_shifted_spectrum_is_that_of_a_star_at_rest(config: ExperimentConfig, kms: float) -> None:
    plain = config.model_copy(update={"augment": config.augment.model_copy(update={"continuum": "none"})})
    rest, wavelength = frame(plain), load_instrument(config.instrument).wavelength
    doppler = np.sqrt((1 + kms / C_KMS) / (1 - kms / C_KMS))

    def star(at: np.ndarray) -> np.ndarray:
        return 1.0 - 0.6 * np.exp(-0.5 * ((at - 5172.0) / 0.2) ** 2)

    observed = star(wavelength / doppler).astype(np.float32)
    observed[100:110] = 0.0
    shifted = rest.at_rest(observed, Velocity(kms, 0.1, 0))
    seen, came_from = shifted != 0, wavelength * doppler
    inside = (came_from > wavelength[0]) & (came_from < wavelength[-1])
    # Pixels of 0.05 A under a line of sigma 0.2 A; divided by their median, which is a little below the continuum.
    assert np.abs(shifted / shifted[inside].max() - star(wavelength))[seen & inside].max() < 4e-3
    hidden = (came_from > wavelength[100]) & (came_from < wavelength[109])
    assert np.count_nonzero(hidden) >= 8
    assert not shifted[hidden].any()
    assert np.count_nonzero(~seen) <= 12


def test_what_comes_from_beyond_the_range_is_the_matching_template(config: ExperimentConfig) -> None:
    rest = frame(config)
    store = open_store(config.store("test"), made_by="augment")
    flux = store.read(0, 24)
    # The same stars 60 km/s faster, 2.1 pixels in a hundred of which have left the range.
    wide = open_store(config.store("wide"), made_by="augment")
    shifted, velocity = rest.shifted(wide.read(0, len(wide)))
    assert (shifted != 0).mean() > 0.999
    fast = np.abs(velocity[:, 0]) > 50
    ends = np.r_[0:15, shifted.shape[1] - 15 : shifted.shape[1]]
    assert np.count_nonzero(fast) > 5
    # As deep as lines there are at rest, not a continuum.
    assert shifted[fast][:, ends].std() == pytest.approx(flux[:, ends].astype(np.float64).std(), rel=0.5)


def test_gaps_between_arms_stay_gaps(config: ExperimentConfig) -> None:
    arms = [{"start": 5150.0, "step": 0.05, "count": 300}, {"start": 5170.0, "step": 0.04, "count": 400}]
    pixels = build_instrument(InstrumentConfig.model_validate({**cases.INSTRUMENT, "arms": arms, "strong_lines": []}))
    keep_templates(config)
    rest = RestFrame(pixels, config.augment.model_copy(update={"continuum": "none"}), read_templates(config), LIMIT)
    half = np.full(700, 0.5, dtype=np.float32)
    shifted = rest.at_rest(half, Velocity(60.0, 0.1, 0))
    # What is seen at the end of the first arm would have come from the gap, and is not half a continuum.
    from_gap = (pixels.wavelength < 5165.0) & (pixels.wavelength * (1 + 60.0 / C_KMS) > pixels.upper[299] + 0.05)
    assert np.count_nonzero(from_gap) > 15
    assert (shifted[from_gap] > 1.1).any()
    np.testing.assert_allclose(shifted[20:270], 1.0, rtol=1e-6)


def test_doubtful_velocities_are_flagged(config: ExperimentConfig) -> None:
    velocity = np.array([[0.0, 0.1], [119.0, 0.1], [-119.5, 0.2], [30.0, 2.5], [np.nan, np.nan]])
    flags = frame(config).flags(velocity, support.trained_on(config))
    assert flags.tolist() == [0, *[Flag.VELOCITY_LIMIT] * 3, 0]


# --- templates --------------------------------------------------------------------------------------------------------


def test_representatives_are_spread_over_the_labels() -> None:
    rng = np.random.default_rng(3)
    groups = np.array([[4000.0, 1.0], [5500.0, 4.4], [7000.0, 3.0]])
    labels = np.repeat(groups, [500, 20, 60], axis=0) + rng.normal(0, [20.0, 0.02], (580, 2))
    chosen = representatives(labels, 3)
    assert [int(row > 499) + int(row > 519) for row in chosen] == [0, 1, 2]
    assert np.abs(labels[chosen] - groups).max(axis=0) == pytest.approx([0, 0], abs=10)
    assert representatives(labels[:5], 24).tolist() == [0, 1, 2, 3, 4]


def test_a_damaged_file_of_templates_is_made_again_or_told(config: ExperimentConfig) -> None:
    keep_templates(config)
    path = templates_file(config)
    whole = read_templates(config).digest
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(StoreDamagedError, match="velocity_templates"):
        read_templates(config)
    keep_templates(config)
    assert read_templates(config).digest == whole


def test_without_templates_and_grid_it_is_said_what_is_missing(config: ExperimentConfig) -> None:
    shutil.rmtree(config.store("grid"))
    with pytest.raises(MissingInputError, match=r"grid\.zarr.*starnet-hpc ingest"):
        predict(config)


def test_networks_trained_on_wide_velocities_are_refused(tmp_path: Path) -> None:
    near = cases.experiment(tmp_path, augment={"vrad_max": 2.0}, predict={"radial_velocity": "ccf"})
    (tmp_path / "config.yaml").write_text(resolved_yaml(near), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"--set: predict\.radial_velocity: ccf .* augment\.vrad_max is 150: set it to"
    ):
        load_config(tmp_path / "config.yaml", ["augment.vrad_max=150"])
