"""What `augment` refuses, and the words it finds for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starnet_hpc.augment import augment
from starnet_hpc.augment.shards import store_into
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import (
    CoverageError,
    GridFormatError,
    MissingInputError,
    ResolutionError,
    StarnetError,
    StoreMismatchError,
)
from starnet_hpc.stores import building, is_complete, open_store
from tests.augment.cases import INSTRUMENT, TEMPLATES, experiment, write_grid


def test_a_missing_grid_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"grid\.zarr: no such store; make it first with `starnet-hpc ingest"):
        augment(experiment(tmp_path / "run"))


@pytest.mark.parametrize("limits", [{"low": 5147.0}, {"high": 5193.0}])
def test_templates_that_are_too_short_are_refused_with_the_range_that_is_needed(
    tmp_path: Path, limits: dict[str, float]
) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, **limits)
    # 5150 - 0.025 A, 5190 - 0.025 A, and room for 150 + 50 + 6 x 6.4 km/s at both ends.
    with pytest.raises(CoverageError, match=r"grid\.zarr: templates cover .* needs 5145\.88-5194\.10 A"):
        augment(config)
    assert not config.store("train").exists()


def test_templates_smoother_than_the_instrument_are_refused(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", instrument={**INSTRUMENT, "resolution": [[5150, 20_000], [5180, 22_000]]})
    write_grid(config, native=21_000.0)
    with pytest.raises(ResolutionError, match=r"grid\.zarr: .* = 21000 already .* has 22000 at 5180\.00 A .* sharper"):
        augment(config)
    assert not config.store("train").exists()


@pytest.mark.parametrize(("stored", "said"), [(None, "without limit"), (30_000.0, "30000.0")])
def test_a_grid_made_for_another_native_resolution_is_refused(tmp_path: Path, stored: float | None, said: str) -> None:
    grid = {"format": "intrigoss", "path": str(tmp_path), "resolution": 40_000}
    config = experiment(tmp_path / "run", grid=grid)
    write_grid(config, native=stored)
    with pytest.raises(StoreMismatchError, match=f"of resolution {said}, but grid.resolution is 40000; remove"):
        augment(config)


def test_templates_too_coarse_for_the_sharpest_pixels_are_refused(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run", instrument={**INSTRUMENT, "resolution": [[5150, 100_000], [5190, 160_000]]})
    write_grid(config)
    with pytest.raises(ResolutionError, match=r"steps of 1\.04 km/s, but small needs 0\.9\d km/s or less; ingest"):
        augment(config)


@pytest.mark.parametrize("resolution", [20_000, [[5150, 23_000], [5189, 20_000]]])
def test_templates_that_just_cover_the_range_give_the_same_spectra_as_wider_ones(
    tmp_path: Path, resolution: Any
) -> None:
    """The range that is asked for leaves no edge effects, at the largest velocities either."""
    flux = []
    for limits in ({"low": 5145.87, "high": 5194.11}, {}):
        config = experiment(
            tmp_path / f"run{len(flux)}",
            augment={"noise_max": 0.0, "continuum": "none", "dtype": "float32"},
            instrument={**INSTRUMENT, "resolution": resolution},
        )
        write_grid(config, **limits)
        augment(config)
        flux.append(open_store(config.store("train"), made_by="augment").read(0, 96))
    # Samples 1 km/s apart of lines with a sigma of 4 km/s are interpolated to 1e-4; fluxes here are 0.1 to 2.
    np.testing.assert_allclose(flux[0], flux[1], atol=5e-4)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"augment": {"noise_max": 0.05}}, "augment.noise_max: 0.07 -> 0.05"),
        ({"augment": {"vsini_max": 30.0}}, "augment.vsini_max: 50.0 -> 30.0"),
        ({"augment": {"n_train": 95}}, "rows: 96 -> 95"),
        ({"augment": {"shard_rows": 32}}, "augment.shard_rows: 16 -> 32"),
        ({"augment": {"dtype": "float32"}}, 'augment.dtype: "float16" -> "float32"'),
        ({"instrument": {**INSTRUMENT, "resolution": 19_000}}, "instrument.resolution: 20000.0 -> 19000.0"),
        (
            {"instrument": {**INSTRUMENT, "arms": [{"start": 5150.0, "step": 0.05, "count": 799}]}},
            "instrument.arms.0.count: 800 -> 799",
        ),
    ],
)
def test_a_changed_configuration_is_refused_by_key(
    finished_run: ExperimentConfig, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(StoreMismatchError) as caught:
        augment(experiment(finished_run.run_dir, **changes))
    assert key in str(caught.value)
    assert str(finished_run.store("train")) in str(caught.value)
    assert "choose another run_dir, or remove this store" in str(caught.value)
    assert is_complete(finished_run.store("train"))


def test_what_does_not_change_the_spectra_is_no_contradiction(finished_run: ExperimentConfig) -> None:
    instrument = {**INSTRUMENT, "description": "other words", "tellurics": [[5160.0, 5161.0]]}
    augment(
        experiment(
            finished_run.run_dir, instrument=instrument, augment={"workers": 2, "zero_fraction_max": 0.2}, seed=0
        )
    )


def test_another_grid_is_a_contradiction(tmp_path: Path, ready: ExperimentConfig) -> None:
    augment(ready)
    for name in ("grid.zarr", "grid.markers"):
        (ready.run_dir / name).rename(tmp_path / name)
    write_grid(ready, scale=1.1)
    with pytest.raises(StoreMismatchError, match="grid: "):
        augment(ready)


@pytest.mark.parametrize("flux", [1e7, 1e-9])
def test_fluxes_beyond_half_precision_are_refused_with_the_remedy(flux: float) -> None:
    """Values of 1e7 would become infinite, and of 1e-9 nothing."""
    with pytest.raises(StarnetError, match=r"row 7: fluxes up to .* float16; set augment\.dtype: float32"):
        store_into(np.empty(5, dtype=np.float16), np.full(5, flux, dtype=np.float32), row=7)


@pytest.mark.parametrize("scale", [1e12, 1e-12])
@pytest.mark.parametrize("continuum", ["clip", "smooth", "none"])
def test_no_unit_of_the_fluxes_is_too_large_or_too_small(tmp_path: Path, scale: float, continuum: str) -> None:
    config = experiment(tmp_path / "run", augment={"continuum": continuum, "n_train": 16, "n_valid": 1, "n_test": 1})
    write_grid(config, scale=scale)
    augment(config)
    assert is_complete(config.store("train"))


def test_a_template_without_light_is_named(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, scale=0.0)
    with pytest.raises(StarnetError, match=r"row 0 \(template 0 of grid\.zarr\): the continuum is not positive"):
        augment(config)


def test_two_templates_are_too_few(tmp_path: Path) -> None:
    config = experiment(tmp_path / "run")
    write_grid(config, templates=2)
    with pytest.raises(GridFormatError, match="2 templates; at least 3"):
        augment(config)


def test_workers_that_outlive_an_experiment_do_not_take_its_templates_for_those_of_the_next(
    tmp_path: Path, dask_scheduler: str
) -> None:
    """Two experiments, one after the other in the same folder, on workers that keep templates open."""
    found = []
    for scheduler, rotated in ((dask_scheduler, 0), (dask_scheduler, 1), ("local", 1)):
        config = experiment(tmp_path / "run", augment={"scheduler": scheduler})
        write_grid(config, templates=TEMPLATES + rotated)
        augment(config)
        found.append(open_store(config.store("test"), made_by="augment").read(0, 24))
        config.run_dir.rename(tmp_path / f"run{len(found)}")
    assert np.array_equal(found[1], found[2])
    assert not np.array_equal(found[0], found[1])


def test_a_store_that_another_process_builds_is_left_to_it(ready: ExperimentConfig) -> None:
    with (
        building(
            ready.store("valid"),
            recipe={},
            layout=open_store(ready.store("grid"), made_by="ingest").layout,
            wavelength=np.arange(3000.0),
            columns={},
            attributes={},
        ),
        pytest.raises(StarnetError, match=r"valid\.zarr: another process is writing this store"),
    ):
        augment(ready)
