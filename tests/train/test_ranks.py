"""Several processes that train one member together; all of them are real."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from tests import support

HERE = Path(__file__).parent
NETWORKS = {
    "resnet": {"channels": [24, 32, 48, 64, 96], "dense": 256},  # the default
    "starnet": {"kind": "starnet"},
}
STEPS = 8


def ready(run_dir: Path, **sections: dict[str, object]) -> ExperimentConfig:
    return support.ready_to_train(
        run_dir,
        train={"epochs": 2, "gpus_per_node": 2, "checkpoint_minutes": 1e-6, **sections.pop("train", {})},
        **sections,
    )


def pair(config: ExperimentConfig, *hit: str, rank: int = 0) -> list[subprocess.Popen[str]]:
    """Start two processes on member 0; with a step and a signal, one of them is hit by it there."""
    command = (HERE / "hit.py", config.run_dir / "config.yaml", *hit)
    return support.start_ranks(2, *command, port=support.free_port(), HIT_RANK=str(rank))


def best(config: ExperimentConfig) -> Path:
    return config.member_dir(0) / "best.pt"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The member that two processes make if nothing happens; started by torchrun."""
    config = ready(tmp_path_factory.mktemp("undisturbed") / "run")
    done = support.run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "starnet_hpc.train", config.run_dir / "config.yaml"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("member 0 epoch 2:") == 1, "only the first rank talks"
    logs = {path.name: path.read_text().count("epoch 2:") for path in (config.run_dir / "logs").iterdir()}
    assert logs == {"train-00.log": 1, "train-00-rank1.log": 1}
    return best(config)


@pytest.mark.parametrize("kind", NETWORKS)
def test_two_processes_take_the_step_of_one_with_the_whole_batch(tmp_path: Path, kind: str) -> None:
    config = support.ready_to_train(tmp_path / "run", rows=64, network=NETWORKS[kind], train={"batch_size": 32})
    command = (HERE / "steps.py", config.run_dir / "config.yaml")
    alone = support.start(*command, tmp_path / "one.pt")
    two = support.start_ranks(2, *command, tmp_path / "two.pt", port=support.free_port())
    assert [code for code, _ in support.finish([alone, *two])] == [0, 0, 0]
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    assert one.keys() == other.keys()
    assert sum(name.startswith("gradient") for name in one) > 8
    for name, value in one.items():
        # Sums of float32 in another order: 1e-6 of the largest entry. The first step moves weights by 8e-5 at most.
        size = max(value.abs().max().item(), 1.0) if name.startswith("state") else value.abs().max().item()
        torch.testing.assert_close(
            other[name], value, rtol=0, atol=1e-6 * size, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize(("number", "rank"), [("SIGUSR2", 0), ("SIGTERM", 1)])
def test_a_signal_to_one_process_stops_both_together_and_a_rerun_ends_with_the_same_weights(
    tmp_path: Path, undisturbed: Path, number: str, rank: int
) -> None:
    config = ready(tmp_path / "run")
    ended = support.finish(pair(config, str(STEPS + 3), number, rank=rank))
    assert [code for code, _ in ended] == [1, 1]
    assert "asked to stop in epoch 2 after step 4; the state is saved" in ended[0][1]
    assert ended[1][1] == "", "one process tells for all"
    assert not best(config).exists()
    assert [code for code, _ in support.finish(pair(config))] == [0, 0]
    assert support.same_weights(best(config), undisturbed)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_takes_the_other_down_with_a_message_and_a_rerun_ends_with_the_same_weights(
    tmp_path: Path, undisturbed: Path, rank: int
) -> None:
    config = ready(tmp_path / "run")
    begin = time.monotonic()
    ended = support.finish(pair(config, str(STEPS + 3), "SIGKILL", rank=rank))
    assert time.monotonic() - begin < 60
    assert ended[rank][0] == -signal.SIGKILL
    code, told = ended[1 - rank]
    assert code == 1
    assert "Traceback" not in told
    errors = [line for line in told.splitlines() if "error" in line]
    assert len(errors) == 1
    assert re.search(rf"error: rank {1 - rank} of 2 lost contact .* run the same command again", errors[0])
    assert torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]["epoch"] == 1
    assert [code for code, _ in support.finish(pair(config))] == [0, 0]
    assert support.same_weights(best(config), undisturbed)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": {"shard_rows": 128}}, "has 1 shards for 2 processes: lower augment.shard_rows to 64"),
        ({"train": {"batch_size": 15, "gpus_per_node": 1}}, "train.batch_size 15 cannot be shared equally by 2"),
        ({"train": {"batch_size": 256}}, "train.batch_size: 128 spectra a process"),
    ],
    ids=["too few shards", "batch not divisible", "too few rows"],
)
def test_what_two_processes_cannot_share_is_told_once_with_exit_code_2(
    tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    config = ready(tmp_path / "run", **changes)
    ended = support.finish(pair(config))
    assert [code for code, _ in ended] == [2, 2]
    assert words in ended[0][1]
    assert len(ended[0][1].strip().splitlines()) == 1
    assert ended[1][1] == ""


def test_a_process_that_finds_nobody_to_join_says_so(tmp_path: Path) -> None:
    config = ready(tmp_path / "run")
    done = support.run("-m", "starnet_hpc.train", config.run_dir / "config.yaml", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 1
    assert "WORLD_SIZE is set but MASTER_ADDR is not" in done.stderr
    assert "Traceback" not in done.stderr
