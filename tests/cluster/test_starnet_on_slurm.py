"""Training and prediction over the nodes of a real Slurm: the same members and the same catalogue as without it."""

from __future__ import annotations

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from tests import support
from tests.cluster.slurm_harness import Slurm
from tests.cluster.training import best


@pytest.mark.slow(reason="four processes start torch on the nodes of one machine")
def test_members_train_over_two_nodes_as_one_array(trained: ExperimentConfig) -> None:
    for member in range(2):
        saved = torch.load(best(trained, member), weights_only=True)
        assert saved["facts"]["world"] == 2
        logs = sorted(path.name for path in (trained.run_dir / "logs").glob(f"train-{member:02d}*.log"))
        assert len(logs) == 2
    jobs = {path.name.split("_")[0] for path in (trained.run_dir / "jobs").glob("*_result.pkl")}
    assert len(jobs) == 1, "not one array"
    assert not support.same_weights(best(trained, 0), best(trained, 1))


def test_srun_without_its_mpi_flavour_is_found_out(slurm: Slurm, trained: ExperimentConfig) -> None:
    command = ("python", "-m", "starnet_hpc.predict", str(trained.run_dir / "config.yaml"))
    done = slurm.run("srun", "--mpi=none", "-n2", *command, check=False)
    assert done.returncode != 0
    assert done.stderr.count("2 ranks were asked for, but each of them is alone") == 1
