"""The whole chain as jobs of a real Slurm: by the scripts that people copy, and by `run`, whatever happens to it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.grids import write_intrigoss
from starnet_hpc.launch.pipeline import missing_of, submit_chain
from starnet_hpc.launch.rundir import claim
from starnet_hpc.launch.waiting import JobLine, chain_lines
from tests import support
from tests.augment.cases import same_stores
from tests.cluster.slurm_harness import Slurm
from tests.cluster.training import PATIENCE_S
from tests.grids.templates import template

CATALOGUES = ("test_catalogue.fits", "test_catalogue.parquet")
NODES = itertools.product((4800.0, 5400.0, 6000.0), (3.0, 4.5), (-0.5, 0.0), (0.0, 0.3))


def experiment(slurm: Slurm, run_dir: Path, grid: Path) -> ExperimentConfig:
    config = support.experiment(
        run_dir,
        grid={"path": str(grid)},
        instrument={"name": "tiny", "arms": [{"start": 5150.0, "step": 0.03, "count": 700}], "resolution": 20_000},
        augment={"n_train": 64, "n_valid": 16, "n_test": 32, "shard_rows": 32},
        train={"epochs": 1},
        predict={"shard_rows": 8},
        cluster={
            "partition": slurm.partition,
            "cpus_per_task": 1,
            "time": 10,
            "signal_delay_s": 5,
            "predict": {"nodes": 2, "tasks_per_node": 1},
        },
    )
    claim(config)
    return config


@pytest.fixture(scope="module")
def undisturbed(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """A run whose chain the scripts in slurm/ have submitted, unchanged."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "grid").mkdir()
    for teff, logg, feh, afe in NODES:
        write_intrigoss(folder / "grid", template(teff=teff, logg=logg, feh=feh, afe=afe))
    config = experiment(slurm, folder / "run", folder / "grid")
    # From that folder, so that the jobs' logs are left there.
    command = ("bash", "-c", 'cd "$0" && bash "$1" "$2" 2', folder, support.REPOSITORY / "slurm" / "pipeline.sh")
    last = slurm.run(*command, config.run_dir / "config.yaml").stdout.split()[-1]

    def ended() -> bool:
        return last not in slurm.run("squeue", "--noheader", "--format=%A").stdout.split()

    support.wait_until(ended, "the end of the chain", limit_s=2 * PATIENCE_S)
    return config


@pytest.fixture(autouse=True)
def alone(slurm: Slurm) -> Iterator[None]:
    """Leave neither jobs nor nodes out of service to the next test, whatever becomes of this one."""
    yield
    slurm.run("scancel", "--partition", slurm.partition)
    support.wait_until(lambda: queue_is_empty(slurm), "an empty queue", limit_s=PATIENCE_S)


def queue_is_empty(slurm: Slurm) -> bool:
    return not slurm.run("squeue", "--noheader").stdout


def lines(config: ExperimentConfig) -> dict[str, JobLine]:
    return {line.key: line for line in chain_lines(config)}


def predicting_rank(config: ExperimentConfig, life: int) -> int:
    """Return the process of a rank of the prediction in a life of its job, from 0, halted as soon as it is there."""
    found: list[int] = []

    def there() -> bool:
        for pid in support.processes(f"-m starnet_hpc.predict {config.run_dir}"):
            with suppress(OSError):
                if "python" not in Path(f"/proc/{pid}/exe").resolve().name:  # srun and the shell have the words, too
                    continue
                again = f"SLURM_RESTART_COUNT={life}\0" in Path(f"/proc/{pid}/environ").read_text()
                first = "SLURM_RESTART_COUNT=" not in Path(f"/proc/{pid}/environ").read_text()
                if again or (life == 0 and first):
                    os.kill(pid, signal.SIGSTOP)
                    found.append(pid)
                    return True
        return False

    support.wait_until(there, f"a rank of the prediction in life {life}", limit_s=PATIENCE_S)
    return found[0]


@pytest.mark.slow(reason="four jobs that start torch, and all figures of a report")
def test_the_scripts_run_the_whole_chain_unchanged(slurm: Slurm, undisturbed: ExperimentConfig) -> None:
    assert missing_of(undisturbed, confirm=True) == []
    log = (undisturbed.run_dir / "logs" / "predict.log").read_text()
    assert "4 ranks" in log, "predict.sbatch asks for two nodes with two ranks each"
    submit_chain(undisturbed)
    assert chain_lines(undisturbed) == [], "something was submitted although nothing is missing"


@pytest.mark.slow(reason="four lives of a prediction")
def test_whatever_happens_to_the_chain_it_ends_with_the_same_catalogue(
    slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path
) -> None:
    config = experiment(slurm, tmp_path / "run", undisturbed.grid.path)
    ignore = shutil.ignore_patterns(
        "jobs", "logs", "predictions", "test_catalogue*", "report*", "01", "*.json", "*.yaml"
    )
    shutil.copytree(undisturbed.run_dir, config.run_dir, ignore=ignore, dirs_exist_ok=True)
    for name in ("grid", "train", "valid", "test"):
        for what in (f"{name}.zarr", f"{name}.markers"):
            shutil.copytree(undisturbed.run_dir / what, config.run_dir / what, dirs_exist_ok=True)

    # A node is drained: what runs goes on, and what needs it waits.
    slurm.run("scontrol", "update", f"nodename={slurm.nodes[1]}", "state=drain", "reason=test")
    submit_chain(config)
    first = lines(config)
    assert set(first) == {"members/1", "predict", "evaluate"}
    support.wait_until(lambda: lines(config)["members/1"].state == "COMPLETED", "member 1", limit_s=PATIENCE_S)
    assert lines(config)["predict"].state == "PENDING"
    slurm.run("scontrol", "update", f"nodename={slurm.nodes[1]}", "state=resume")

    # A rank is killed: the job queues itself again.
    os.kill(predicting_rank(config, 0), signal.SIGKILL)
    # A node fails: Slurm queues the job again.
    halted = predicting_rank(config, 1)
    slurm.run("scontrol", "update", f"nodename={slurm.nodes[0]}", "state=down", "reason=test")
    slurm.run("scontrol", "update", f"nodename={slurm.nodes[0]}", "state=resume", check=False)
    with suppress(ProcessLookupError):
        os.kill(halted, signal.SIGKILL)
    # The job is cancelled: nothing comes back, and what waits for it is ended and says why.
    halted = predicting_rank(config, 2)
    slurm.run("scancel", first["predict"].job)
    with suppress(ProcessLookupError):
        os.kill(halted, signal.SIGCONT)
    support.wait_until(lambda: not any(line.alive for line in chain_lines(config)), "the end", limit_s=PATIENCE_S)
    told = lines(config)
    assert (told["predict"].state, told["evaluate"].state) == ("CANCELLED", "CANCELLED")
    assert f"predict (job {first['predict'].job}) ended CANCELLED" in told["evaluate"].note

    submit_chain(config)
    assert lines(config)["members/1"].job == first["members/1"].job, "a member that is done was submitted again"
    support.wait_until(
        lambda: lines(config)["predict"].state == "COMPLETED", "the end of the prediction", limit_s=PATIENCE_S
    )
    for name in CATALOGUES:
        assert (config.run_dir / name).read_bytes() == (undisturbed.run_dir / name).read_bytes()


def test_the_script_for_stores_on_two_nodes_makes_the_same_ones(
    slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path
) -> None:
    config = experiment(slurm, tmp_path / "run", undisturbed.grid.path)
    shape = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1")
    log = tmp_path / "job.log"
    script = support.REPOSITORY / "slurm" / "prepare.sbatch"
    slurm.run("sbatch", "--wait", f"--output={log}", *shape, script, config.run_dir / "config.yaml")
    assert log.read_text().count("train.zarr: 64 spectra") == 1
    assert same_stores(config, undisturbed)
