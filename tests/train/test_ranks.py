"""Several processes that train one member together; all of them are real."""

import re
import signal
import subprocess
import weakref
from pathlib import Path

import pytest
import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import LauncherError, TrainingError
from starnet_hpc.train import ranks
from tests import support

HERE = Path(__file__).parent
NETWORKS = {
    "resnet": {"channels": [32, 64, 64, 128], "dense": 256},  # the default
    "starnet": {"kind": "starnet"},
    "mixture": {"channels": [8, 8], "dense": 16, "head": "mixture"},
}
WORLD = 3
"""Sums of two numbers do not depend on their order, sums of three do."""
BATCH, STEPS = 12, 8
FIRST_RATE = 2e-3 / 25


def ready(run_dir: Path, **sections: dict[str, object]) -> ExperimentConfig:
    """Return an experiment for three processes that need all there is: frozen layers, and an average of weights."""
    return support.ready_to_train(
        run_dir,
        train={
            "epochs": 2,
            "batch_size": BATCH,
            "gpus_per_node": WORLD,
            "checkpoint_minutes": 1e-6,
            "ema": 0.9,
            "init_from": str(start(run_dir.parent / "start")),
            "freeze": ["stem.*", "stages.0.halve.*"],
            **sections.pop("train", {}),
        },
        **sections,
    )


def start(run_dir: Path) -> Path:
    """Return the file of a member with whose weights others begin; the same each time."""
    return support.write_member(support.ready_to_train(run_dir), 0)


def started(config: ExperimentConfig, *hit: str, rank: int = 0) -> list[subprocess.Popen[str]]:
    """Start processes on member 0; with a step and a signal, one of them is hit by it there."""
    command = (HERE / "hit.py", config.run_dir / "config.yaml", *hit)
    return support.start_ranks(WORLD, *command, port=support.free_port(), HIT_RANK=str(rank))


def best(config: ExperimentConfig) -> Path:
    return config.member_dir(0) / "best.pt"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The member that three processes make if nothing happens; started by torchrun."""
    config = ready(tmp_path_factory.mktemp("undisturbed") / "run")
    done = support.run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORLD)),
        *("-m", "starnet_hpc.train", config.run_dir / "config.yaml"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("member 0 epoch 2:") == 1, "only the first rank talks"
    logs = {path.name: path.read_text().count("epoch 2:") for path in (config.run_dir / "logs").glob("*.log")}
    assert logs == {"train-00.log": 1, "train-00-rank1.log": 1, "train-00-rank2.log": 1}
    return best(config)


def test_two_processes_take_the_step_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    configs = [
        support.ready_to_train(tmp_path / kind, rows=64, network=network, train={"batch_size": 32})
        for kind, network in NETWORKS.items()
    ]
    paths = [config.run_dir / "config.yaml" for config in configs]
    alone = support.start(HERE / "steps.py", tmp_path / "one.pt", *paths)
    two = support.start_ranks(2, HERE / "steps.py", tmp_path / "two.pt", *paths, port=support.free_port())
    assert [code for code, _ in support.finish([alone, *two])] == [0, 0, 0]
    everything = [torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt")]
    for kind in NETWORKS:
        one, other = (saved[kind] for saved in everything)
        assert one.keys() == other.keys()
        gradients = [name for name in one if name.startswith("gradient")]
        assert len(gradients) > 8
        # Sums of float32 in another order: 1e-6 of the largest gradient there is. An entry of the first layers can be
        # the small rest of large terms, so its own size is no measure.
        largest = max(one[name].abs().max().item() for name in gradients)
        for name, value in one.items():
            difference = (other[name] - value).abs()
            if name in gradients:
                assert difference.max().item() < 1e-6 * largest, f"{kind} {name}"
            elif (gradient := name.replace("state", "gradient")) in gradients:
                # Adam divides a gradient by its size: one that is nothing but rounding error goes either way.
                clear = one[gradient].abs() > 1e-4 * largest
                assert difference[clear].max().item() < 1e-6, f"{kind} {name}"
                assert difference.max().item() < 2 * FIRST_RATE, f"{kind} {name}"
            else:
                assert difference.max().item() < 1e-6, f"{kind} {name}"


def test_frozen_layers_of_several_processes_keep_their_bits_and_their_statistics(
    tmp_path: Path, undisturbed: Path
) -> None:
    before, after = (
        torch.load(path, weights_only=True)["weights"] for path in (start(tmp_path / "start"), undisturbed)
    )
    same = {name.rpartition(".")[0] for name in after if torch.equal(after[name], before[name])}
    assert same == {"stem", "stages.0.halve.0", "stages.0.halve.2"}


@pytest.mark.slow(reason="six starts of torch")
def test_a_signal_to_one_process_stops_all_together_and_a_rerun_ends_with_the_same_weights(
    tmp_path: Path, undisturbed: Path
) -> None:
    config = ready(tmp_path / "run")
    ended = support.finish(started(config, str(STEPS + 3), "SIGUSR2", rank=1))
    assert [code for code, _ in ended] == [1] * WORLD
    assert "asked to stop in epoch 2 after step 4; the state is saved" in ended[0][1]
    assert [told for _, told in ended[1:]] == ["", ""], "one process tells for all"
    assert not best(config).exists()
    assert [code for code, _ in support.finish(started(config))] == [0] * WORLD
    assert support.same_weights(best(config), undisturbed)


@pytest.mark.slow(reason="six starts of torch")
def test_a_process_that_is_killed_takes_the_others_down_and_a_rerun_ends_with_the_same_weights(
    tmp_path: Path, undisturbed: Path
) -> None:
    config = ready(tmp_path / "run")
    check_loss(support.finish(started(config, str(STEPS + 3), "SIGKILL", rank=1)), killed=1)
    assert torch.load(config.member_dir(0) / "last.pt", weights_only=True)["progress"]["epoch"] == 1
    assert [code for code, _ in support.finish(started(config))] == [0] * WORLD
    assert support.same_weights(best(config), undisturbed)


def test_the_others_speak_if_the_first_process_is_killed(tmp_path: Path) -> None:
    check_loss(support.finish(started(ready(tmp_path / "run"), "3", "SIGKILL")), killed=0)


def check_loss(ended: list[tuple[int, str]], killed: int) -> None:
    """The processes that were not killed ended with one message each and no traceback, long before torch gives up."""
    assert ranks._PATIENCE.total_seconds() > 2 * support.PATIENCE_S
    assert ended[killed][0] == -signal.SIGKILL
    for rank in {0, 1, 2} - {killed}:
        code, told = ended[rank]
        assert code == 1
        assert "Traceback" not in told
        errors = [line for line in told.splitlines() if "error" in line]
        assert len(errors) == 1
        assert re.search(rf"error: rank {rank} of 3 lost contact .* run the same command again", errors[0])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), LauncherError),
        (TrainingError("the loss is nan"), TrainingError),
        (ZeroDivisionError("a defect"), ZeroDivisionError),
    ],
    ids=["lost contact", "known error", "defect"],
)
def test_the_network_that_spans_processes_is_gone_before_their_group_is(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: type[Exception]
) -> None:
    # The other way round a process now and then hung, or was aborted, when it had told its message.
    networks: list[weakref.ref[torch.nn.Module]] = []
    gone: list[bool] = []
    monkeypatch.setattr(ranks, "_join", lambda *_: None)
    monkeypatch.setattr(ranks.dist, "destroy_process_group", lambda: gone.append(networks[0]() is None))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")

    def fail() -> None:
        network = torch.nn.Linear(1, 1)
        networks.append(weakref.ref(network))
        network.inner = network  # what refers to itself stays until Python looks for such things
        try:
            raise error
        except ZeroDivisionError as defect:
            raise ZeroDivisionError("another on top of it") from defect

    with pytest.raises(told), ranks.joined_ranks():
        fail()
    assert gone == [True]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": {"shard_rows": 128}}, "has 1 shards for 3 processes: lower augment.shard_rows to 42"),
        ({"train": {"batch_size": 16, "gpus_per_node": 1}}, "train.batch_size 16 cannot be shared equally by 3"),
    ],
    ids=["too few shards", "batch not divisible"],
)
def test_what_processes_cannot_share_is_told_once_with_exit_code_2(
    tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    config = ready(tmp_path / "run", **changes)
    ended = support.finish(started(config))
    assert [code for code, _ in ended] == [2] * WORLD
    assert words in ended[0][1]
    assert len(ended[0][1].strip().splitlines()) == 1
    assert [told for _, told in ended[1:]] == ["", ""]


def test_a_process_that_finds_nobody_to_join_says_so(tmp_path: Path) -> None:
    config = ready(tmp_path / "run")
    done = support.run("-m", "starnet_hpc.train", config.run_dir / "config.yaml", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 1
    assert "WORLD_SIZE is set but MASTER_ADDR is not" in done.stderr
    assert "Traceback" not in done.stderr
