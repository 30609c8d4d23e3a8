"""`starnet-hpc verify`: damage is found, named, and mended by making the damaged shards anew and no others."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from starnet_hpc.augment import augment
from starnet_hpc.augment.verification import regenerate
from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError, StoreIncompleteError
from starnet_hpc.launch.verify import verify
from starnet_hpc.stores import open_store, write_shard
from tests.augment.cases import same_stores


@pytest.fixture
def finished(ready: ExperimentConfig) -> ExperimentConfig:
    augment(ready)
    return ready


def command(config: ExperimentConfig, *options: str) -> int:
    return main(["verify", str(config.run_dir / "config.yaml"), *options])


def flip(path: Path, place: int = 333) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def log(config: ExperimentConfig) -> str:
    return (config.run_dir / "logs" / "verify.log").read_text()


def test_a_sound_run_passes_and_its_contents_are_told(finished: ExperimentConfig) -> None:
    assert command(finished, "--regenerate", "1000") == 0
    assert "train.zarr: complete, 96 rows, flux 0." in log(finished)
    for line in ("train: 96 of 96 rows", "valid: 24 of 24 rows", "test: 24 of 24 rows"):
        assert f"{line} computed again are identical" in log(finished)
    train, valid, test = (line for line in log(finished).splitlines() if " vrad " in line)
    assert [sum(map(int, line.split(": ")[-1].split())) for line in (train, valid, test)] == [96, 24, 24]  # histograms


def test_a_flipped_byte_is_named_and_mended_by_making_one_shard_anew(
    finished: ExperimentConfig, finished_run: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = finished.store("train") / "flux" / "c" / "2" / "0"
    flip(damaged)
    before = {path: path.stat().st_mtime_ns for path in finished.run_dir.rglob("0") if path != damaged}
    assert command(finished) == 1
    said = capsys.readouterr().err
    assert f"{finished.store('train')}: shard 2 (rows 32 to 47) has other fluxes than were written" in said
    assert "`starnet-hpc verify CONFIG --mend`, then `starnet-hpc augment CONFIG`, make these shards anew" in said
    assert command(finished, "--mend") == 1
    assert "marked as unfinished: run `starnet-hpc augment CONFIG` now" in capsys.readouterr().err
    assert main(["augment", str(finished.run_dir / "config.yaml")]) == 0
    assert "augment: 16 spectra in" in (finished.run_dir / "logs" / "augment.log").read_text()
    assert command(finished) == 0
    assert same_stores(finished, finished_run)
    assert {path: path.stat().st_mtime_ns for path in before if "flux" in path.parts} == {
        path: written for path, written in before.items() if "flux" in path.parts
    }


def test_damage_in_several_stores_is_told_in_one_message(finished: ExperimentConfig) -> None:
    flip(finished.store("grid") / "flux" / "c" / "0" / "0")
    (finished.store("test") / "flux" / "c" / "1" / "0").unlink()
    flip(finished.store("valid") / "labels" / "c" / "0" / "0", place=20)
    with pytest.raises(StoreDamagedError) as caught:
        verify(finished)
    said = str(caught.value)
    assert "grid.zarr: shard 0 (rows 0 to 23) has other fluxes than were written" in said
    assert "test.zarr: shard 1 (rows 16 to 23) has lost its file" in said
    assert "valid.zarr: column labels is not what was written" in said
    assert "`starnet-hpc ingest CONFIG` and `starnet-hpc augment CONFIG`" in said


def test_a_mended_column_is_written_again(finished: ExperimentConfig, finished_run: ExperimentConfig) -> None:
    flip(finished.store("train") / "draws" / "vrad" / "c" / "0", place=30)
    assert command(finished, "--mend") == 1
    augment(finished)
    assert command(finished) == 0
    assert same_stores(finished, finished_run)


def test_what_was_written_wrongly_is_found_by_computing_rows_again(finished: ExperimentConfig) -> None:
    """Digests agree with the bytes of a shard that a broken machine computed; only its keys know better."""
    store = open_store(finished.store("valid"), made_by="augment")
    flux = store.read(0, 16)
    flux[5, 100:110] += np.float16(0.05)
    write_shard(store.path, store.layout, store.attributes["recipe_digest"], 0, flux, {})
    assert command(finished) == 0
    with pytest.raises(
        StoreDamagedError, match=r"valid\.zarr: shard 0 \(rows 0 to 15\) has another row 5 than its key"
    ):
        verify(finished, regenerate=24)
    assert command(finished, "--regenerate", "24", "--mend") == 1
    augment(finished)
    assert command(finished, "--regenerate", "24") == 0


def test_last_bits_that_another_processor_rounds_otherwise_are_no_damage(finished: ExperimentConfig) -> None:
    store = open_store(finished.store("test"), made_by="augment")
    flux = store.read(0, 16)
    flux[3, ::7] = np.nextafter(flux[3, ::7], np.float16(9.0))
    write_shard(store.path, store.layout, store.attributes["recipe_digest"], 0, flux, {})
    found = {one.store: one for one in regenerate(finished, 24)}
    assert (found["test"].identical, found["test"].rows, found["test"].damages) == (23, 24, [])


def test_an_unfinished_store_is_not_called_sound(ready: ExperimentConfig, finished: ExperimentConfig) -> None:
    zarr.open_group(finished.store("test"), mode="r+").attrs["complete"] = False
    with pytest.raises(StoreIncompleteError, match=r"test not finished; what is there is as it was written"):
        verify(finished)


def test_a_run_without_stores_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"name: a\nrun_dir: {tmp_path / 'run'}\ngrid: {{format: intrigoss, path: g}}\n")
    assert main(["verify", str(config)]) == 1
    assert "there is no store to verify yet" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--regenerate", "-1"], ["--regenerate", "few"], ["--mendd"]])
def test_bad_options_end_with_2(ready: ExperimentConfig, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(ready, *options)
    assert caught.value.code == 2
