"""What a cluster does not offer is told before anything is queued, with what it offers."""

from pathlib import Path
from typing import Any

import pytest

from starnet_hpc.errors import ConfigError, LauncherError
from starnet_hpc.launch.offers import check_cluster, minutes_of
from tests import support
from tests.launch.fakeslurm import FakeSlurm, fake

__all__ = ["fake"]


@pytest.mark.parametrize(
    "cluster",
    [
        {},
        {"partition": "short", "gpus": False, "time": 30},
        {"gpus": True, "gpu_type": "a100", "cpus_per_task": 64, "mem_gb": 250},
    ],
)
def test_what_the_cluster_offers_is_accepted(fake: FakeSlurm, tmp_path: Path, cluster: dict[str, Any]) -> None:
    check_cluster(support.experiment(tmp_path / "run", cluster=cluster))


@pytest.mark.parametrize(
    ("cluster", "train", "words"),
    [
        ({"partition": "nowhere"}, {}, "prepare: there is no partition 'nowhere'"),
        ({"time": 2000}, {}, "for 2000 minutes: which no node of the cluster offers"),
        (
            {"gpus": True, "partition": "short", "time": 30},
            {},
            "members asks for 1 x 4 cores, 1 GPUs for 30 minutes: which no node",
        ),
        ({"gpus": True, "gpu_type": "h100"}, {}, "1 GPUs h100"),
        ({"predict": {"nodes": 5}}, {}, "predict asks for 5 x 2 cores"),
        ({"evaluate": {"mem_gb": 300}}, {}, "evaluate asks for 1 x 4 cores, 300 GB"),
        ({"gpus": True, "node_gpus": 2}, {"gpus_per_node": 4, "batch_size": 64}, "4 GPUs a node, of which it has 2"),
        ({"needs_account": True}, {}, "cluster.account: must be given on this cluster; yours are def-a, rrg-b"),
    ],
)
def test_what_it_does_not_offer_is_told_with_what_it_does(
    fake: FakeSlurm, tmp_path: Path, cluster: dict[str, Any], train: dict[str, Any], words: str
) -> None:
    fake.program("sacctmgr", "echo def-a; echo def-a; echo rrg-b")
    with pytest.raises(ConfigError) as caught:
        check_cluster(support.experiment(tmp_path / "run", cluster=cluster, train=train))
    assert words in str(caught.value)
    assert "main (default): 4 x 64 cores, 250 GB, 4 GPUs a100; 1440 minutes at most" in str(caught.value)


def test_without_slurm_there_is_a_way_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LauncherError, match="--dry-run"):
        check_cluster(support.experiment(tmp_path / "run"))


def test_times_are_read_as_slurm_writes_them() -> None:
    told = ("1-00:00:00", "30:00", "2:30:00", "infinite", "n/a")
    assert [minutes_of(limit) for limit in told] == [1440, 30, 150, None, None]
