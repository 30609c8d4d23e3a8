"""Profiles of clusters: defaults of the section `cluster`, which an experiment may overrule."""

from pathlib import Path

import pytest

from starnet_hpc.config import ClusterConfig, check, load_config, resolved_yaml
from starnet_hpc.config.cluster import SHIPPED, shipped_clusters
from starnet_hpc.errors import ConfigError
from tests import support

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", shipped_clusters())
def test_shipped_profiles_are_accepted_and_read_back_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/somebody")
    config = support.experiment(tmp_path / "run", cluster={"profile": name})
    assert config.cluster.scratch in {None, Path("/scratch/somebody")}
    (tmp_path / "again.yaml").write_text(resolved_yaml(config))
    monkeypatch.delenv("SCRATCH")
    assert load_config(tmp_path / "again.yaml") == config


def test_profiles_are_where_people_look_for_them() -> None:
    assert set(shipped_clusters()) == {"fir", "generic", "narval", "perlmutter", "single_node"}
    assert (REPOSITORY / "configs" / "clusters").resolve() == SHIPPED


def test_what_an_experiment_says_counts_more_than_its_profile() -> None:
    data = {"profile": "perlmutter", "time": 30, "extra": {"qos": "debug"}, "predict": {"nodes": 4}}
    cluster = check(ClusterConfig, data, source="test")
    assert (cluster.time, cluster.node_gpus) == (30, 4)
    assert cluster.extra == {"constraint": "gpu", "qos": "debug"}
    assert (cluster.predict.nodes, cluster.predict.tasks_per_node) == (4, 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{profile: narvla}", "did you mean 'narval'?"),
        ("{profile: none.yaml}", "there is no such configuration file"),
        ("{profile: own.yaml}", "own.yaml: tmie: not a key of a cluster's profile"),
        ("{profile: narval, time: 20000}", "time 20000 is more than the 10080 minutes that this cluster allows"),
        ("{profile: narval, predict: {time: 20000}}", "predict.time 20000 is more than the 10080 minutes"),
    ],
)
def test_faults_in_profiles_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("tmie: 5\n")
    Path("c.yaml").write_text(f"name: a\nrun_dir: run\ngrid: {{format: intrigoss, path: grid}}\ncluster: {text}\n")
    with pytest.raises(ConfigError, match="cluster") as caught:
        load_config("c.yaml")
    assert words in str(caught.value)
