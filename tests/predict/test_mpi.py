"""Prediction by many ranks: the same catalogue as by one, whatever happens on the way. Everything here is real MPI."""

import shutil
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch.chain import find_mpiexec
from starnet_hpc.launch.rundir import claim
from starnet_hpc.predict import predict
from tests import support

HERE = Path(__file__).parent
PRODUCTS = (
    *("catalogue.fits", "catalogue.parquet", "test_catalogue.fits", "test_catalogue.parquet"),
    "predictions/validation.json",
)
UNITS = 10
ROUNDS = ((7,), (4, 3), (5, 2))
"""How seven ranks are divided into teams, one after the other: five numbers of ranks for one start of MPI."""
SPREAD = ((1, None), (3, 2), (3, None), (7, 3), (7, None))
"""Members, and ranks that share those of one unit."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ExperimentConfig]:
    """Experiments with one, three and seven members, not yet predicted, by the number of members."""
    folder = tmp_path_factory.mktemp("inputs")
    return {
        members: support.ready_to_predict(
            folder / f"{members}", ensemble={"members": members}, predict={"shard_rows": 80 // UNITS}, test=20, valid=24
        )
        for members in (1, 3, 7)
    }


@pytest.fixture(scope="module")
def alone(inputs: dict[int, ExperimentConfig], tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """What one process without MPI makes of them."""
    folder = tmp_path_factory.mktemp("alone")
    made = {}
    for members, config in inputs.items():
        mine = copy(config, folder / f"{members}")
        predict(mine)
        made[members] = products(mine)
    return made


def copy(config: ExperimentConfig, run_dir: Path, **changes: object) -> ExperimentConfig:
    """Return an experiment like this one, with the same stores and members, elsewhere."""
    shutil.copytree(config.run_dir, run_dir)
    new = config.model_copy(update={"run_dir": run_dir, "predict": config.predict.model_copy(update=changes)})
    claim(new)
    return new


def products(config: ExperimentConfig) -> dict[str, bytes]:
    return {name: (config.run_dir / name).read_bytes() for name in PRODUCTS}


def mpi(ranks: int, *configs: ExperimentConfig, limit_s: float = 150.0, **hit: str) -> subprocess.CompletedProcess[str]:
    """Predict experiments under mpiexec."""
    return mpiexec(
        ranks, "many.py", *(str(config.run_dir / "config.yaml") for config in configs), limit_s=limit_s, **hit
    )


def mpiexec(
    ranks: int, program: str, *arguments: str, limit_s: float = 150.0, **hit: str
) -> subprocess.CompletedProcess[str]:
    found = find_mpiexec()
    assert found is not None, "there is no mpiexec"
    return subprocess.run(
        [found, "-n", str(ranks), sys.executable, str(HERE / program), *arguments],
        env=support.environment(**{f"HIT_{name.upper()}": value for name, value in hit.items()}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def units(config: ExperimentConfig, name: str = "survey") -> dict[str, int]:
    """Finished units of a store, by the time of their last change."""
    found = sorted((config.run_dir / "predictions" / name).glob("unit-*.npz"))
    return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture
def three(inputs: dict[int, ExperimentConfig], tmp_path: Path) -> ExperimentConfig:
    """Three members, two ranks a unit unless there is one rank."""
    return copy(inputs[3], tmp_path / "run", ranks_per_shard=2)


@pytest.mark.slow(reason="seven ranks, which start torch on as many cores as there are")
def test_any_number_of_ranks_writes_the_same_bytes(
    inputs: dict[int, ExperimentConfig], alone: dict[int, dict[str, bytes]], tmp_path: Path
) -> None:
    teams = {
        size: [
            copy(inputs[members], tmp_path / f"{size}-{members}-{together}", ranks_per_shard=together)
            for members, together in SPREAD
        ]
        for size in chain(*ROUNDS)
    }
    files = {size: ",".join(str(one.run_dir / "config.yaml") for one in configs) for size, configs in teams.items()}
    rounds = ["+".join(f"{size}={files[size]}" for size in sizes) for sizes in ROUNDS]
    done = mpiexec(sum(ROUNDS[0]), "teams.py", *rounds, limit_s=180)
    assert done.returncode == 0, done.stderr
    for config in chain(*teams.values()):
        assert products(config) == alone[config.ensemble.members], config.run_dir
    assert done.stderr.count("catalogue.fits: 80 rows") == len(teams) * len(SPREAD), "only first ranks talk"


def test_one_rank_writes_the_same_bytes(three: ExperimentConfig, alone: dict[int, dict[str, bytes]]) -> None:
    done = mpi(1, three)
    assert done.returncode == 0, done.stderr
    assert products(three) == alone[3]


@pytest.mark.parametrize("rank", ["1", "all"])
def test_a_killed_prediction_is_finished_by_a_rerun_with_the_same_bytes(
    three: ExperimentConfig, alone: dict[int, dict[str, bytes]], rank: str
) -> None:
    killed = mpi(2, three, how="kill", rank=rank, at="7")  # three units of the test store, then the survey's
    assert killed.returncode != 0
    assert "Traceback" not in killed.stderr
    before = units(three)
    assert 0 < len(before) < UNITS
    assert not three.catalogue("survey").exists(), "half a prediction looks done"
    assert mpi(2, three).returncode == 0
    assert products(three) == alone[3]
    assert before.items() <= units(three).items(), "finished units were done again"


def test_a_unit_that_fails_on_one_rank_does_not_stop_the_others_and_a_rerun_does_only_that(
    three: ExperimentConfig, alone: dict[int, dict[str, bytes]]
) -> None:
    failed = mpi(2, three, how="expected error", rank="1", at="8")
    assert failed.returncode == 1
    assert failed.stderr.count("error:") == 1
    assert "rows 16-23 of" in failed.stderr
    assert "RuntimeError: made up" in failed.stderr
    before = units(three)
    assert len(before) == UNITS - 1
    assert not three.catalogue("survey").exists()
    assert three.catalogue("test").exists(), "what is complete is joined"
    assert mpi(2, three).returncode == 0
    assert products(three) == alone[3]
    assert before.items() <= units(three).items()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("unexpected error", "ZeroDivisionError: made up"),
        ("error of one rank alone", "ConfigError: made up"),
    ],
)
def test_an_error_on_one_rank_ends_all_of_them_at_once(three: ExperimentConfig, how: str, words: str) -> None:
    begin = time.monotonic()
    ended = mpi(2, three, how=how, rank="1", at="4")
    assert time.monotonic() - begin < 30
    assert ended.returncode == 1
    # It is said on the screen, too, but an abort can overtake what mpiexec has not passed on yet.
    assert words in (three.run_dir / "logs" / "predict-rank1.log").read_text()


def test_a_full_disk_is_one_message_and_nobody_waits_for_ever(three: ExperimentConfig) -> None:
    ended = mpi(2, three, how="full disk", rank="0")
    assert ended.returncode == 1
    assert ended.stderr.count("error:") == 1
    assert "Traceback" not in ended.stderr
    assert not units(three)


def test_a_catalogue_that_cannot_be_joined_is_one_message_and_nobody_waits_for_ever(
    inputs: dict[int, ExperimentConfig], tmp_path: Path
) -> None:
    config = copy(inputs[1], tmp_path / "run")
    shutil.rmtree(config.store("survey"))
    shutil.rmtree(config.store("survey").with_suffix(".markers"), ignore_errors=True)
    columns = {"id": np.array(["twice"] * 16), "snr": np.full(16, 50.0)}
    support.write_rows(config, "survey", np.ones((16, support.PIXELS)), columns)
    ended = mpi(2, config)
    assert ended.returncode == 1
    assert ended.stderr.count("error:") == 1
    assert "identifiers are not unique" in ended.stderr


def test_a_missing_member_is_one_message_from_all_ranks_and_no_catalogue(three: ExperimentConfig) -> None:
    (three.member_dir(1) / "best.pt").unlink()
    (three.member_dir(2) / "best.pt").unlink()
    ended = mpi(2, three)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "missing members:" in ended.stderr
    assert all(f"0{number}/best.pt" in ended.stderr for number in (1, 2))
    assert not three.catalogue("survey").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_of_another_mpi_are_told_that_they_are_alone(three: ExperimentConfig, rank: int) -> None:
    # A launcher of another MPI starts N processes, tells them of N through its variables, and each finds a world of
    # size 1: the variables and one process are all that such a process can see.
    done = support.run(HERE / "many.py", three.run_dir / "config.yaml", PMI_SIZE="2", PMI_RANK=str(rank))
    assert done.returncode == 1
    if rank == 0:
        assert len(done.stderr.strip().splitlines()) == 1
        assert "2 ranks were asked for, but each of them is alone" in done.stderr
    else:
        assert done.stderr == "", "one of them tells for all"
    assert not (three.run_dir / "predictions").exists()


BLOCKED = "import sys; sys.modules['mpi4py'] = None; from starnet_hpc.cli import stage_main; "
BLOCKED += "sys.exit(stage_main('predict', sys.argv[1:]))"


def test_one_process_needs_no_mpi(three: ExperimentConfig, alone: dict[int, dict[str, bytes]]) -> None:
    done = support.run("-c", BLOCKED, three.run_dir / "config.yaml")
    assert done.returncode == 0, done.stderr
    assert products(three) == alone[3]


def test_ranks_without_an_mpi_library_are_told_what_to_install(three: ExperimentConfig) -> None:
    done = support.run("-c", BLOCKED, three.run_dir / "config.yaml", OMPI_COMM_WORLD_SIZE="4", OMPI_COMM_WORLD_RANK="0")
    assert done.returncode == 1
    assert "4 ranks, but MPI cannot be loaded" in done.stderr
    assert "pip install mpich" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_whole_job_can_be_killed_from_outside(three: ExperimentConfig, alone: dict[int, dict[str, bytes]]) -> None:
    mpiexec = find_mpiexec()
    assert mpiexec is not None
    command = [mpiexec, "-n", "2", sys.executable, str(HERE / "many.py"), str(three.run_dir / "config.yaml")]
    job = subprocess.Popen(command, env=support.environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        support.wait_until(lambda: units(three), "the first unit")
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    # The proxies of mpiexec end the ranks when it is gone; a rank that is still writing writes what a rerun would.
    assert mpi(2, three).returncode == 0
    assert products(three) == alone[3]
