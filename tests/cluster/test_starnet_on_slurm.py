"""Training and prediction over the nodes of a real Slurm: the same members and the same catalogue as without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.launch.rundir import claim
from starnet_hpc.predict import predict
from tests import support
from tests.cluster.slurm_harness import Slurm
from tests.cluster.training import best


@pytest.mark.slow(reason="eight processes start torch on the nodes of one machine")
def test_members_train_over_two_nodes_as_one_array(trained: ExperimentConfig) -> None:
    for member in range(2):
        saved = torch.load(best(trained, member), weights_only=True)
        assert saved["facts"]["world"] == 4
        logs = sorted(path.name for path in (trained.run_dir / "logs").glob(f"train-{member:02d}*"))
        assert len(logs) == 4
    jobs = {path.name.split("_")[0] for path in (trained.run_dir / "jobs").glob("*_result.pkl")}
    assert len(jobs) == 1, "not one array"
    assert not support.same_weights(best(trained, 0), best(trained, 1))


def test_the_script_for_ranks_on_two_nodes_writes_the_catalogue_that_one_process_writes(
    slurm: Slurm, trained: ExperimentConfig, tmp_path: Path
) -> None:
    support.write_store(trained, "test", 80, key=3, shard_rows=16)
    alone = trained.model_copy(update={"run_dir": tmp_path / "alone"})
    shutil.copytree(trained.run_dir, alone.run_dir, ignore=shutil.ignore_patterns("jobs", "logs"))
    claim(alone)
    predict(alone)
    log = tmp_path / "job.log"
    command = ("sbatch", "--wait", f"--output={log}", support.REPOSITORY / "slurm" / "predict.sbatch")
    slurm.run(*command, trained.run_dir / "config.yaml")
    assert "4 ranks" in log.read_text()
    for name in ("test_catalogue.fits", "test_catalogue.parquet"):
        assert (trained.run_dir / name).read_bytes() == (alone.run_dir / name).read_bytes()


def test_srun_without_its_mpi_flavour_is_found_out(slurm: Slurm, trained: ExperimentConfig) -> None:
    command = ("python", "-m", "starnet_hpc.predict", str(trained.run_dir / "config.yaml"))
    done = slurm.run("srun", "--mpi=none", "-n2", *command, check=False)
    assert done.returncode != 0
    assert done.stderr.count("2 ranks were asked for, but each of them is alone") == 1
