"""The whole chain as jobs of a real Slurm: by the scripts that people copy, and by `run`, whatever happens to it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.config.cluster import SHIPPED
from starnet_hpc.grids import write_intrigoss
from starnet_hpc.launch.pipeline import missing_of, submit_chain
from starnet_hpc.launch.rundir import claim
from starnet_hpc.launch.waiting import JobLine, chain_lines
from starnet_hpc.predict import predict
from tests import support
from tests.augment.cases import same_stores
from tests.cluster.faults import (
    PATIENCE_S,
    environment_of,
    halted,
    has_heard,
    node_failure,
    out_of_time,
    preemption,
    preemption_by_sigterm,
)
from tests.cluster.slurm_harness import Slurm
from tests.grids.templates import template

CATALOGUES = ("test_catalogue.fits", "test_catalogue.parquet")
NODES = itertools.product((4800.0, 5400.0, 6000.0), (3.0, 4.5), (-0.5, 0.0), (0.0, 0.3))
FORKED = "from multiprocessing.forkserver import main"
"""In the command lines of Dask's workers on one node, and of the process that they are forked from."""


def survey(slurm: Slurm, folder: Path, grid: Path) -> ExperimentConfig:
    """Write `my_survey.yaml` and a copy of the generic profile that suits the test cluster, as the tutorial says."""
    folder.mkdir(exist_ok=True)
    (folder / "slurm").symlink_to(support.REPOSITORY / "slurm")
    profile = yaml.safe_load((SHIPPED / "generic.yaml").read_text())
    ours = {"partition": slurm.partition, "time": 10, "gpus": False, "cpus_per_task": 1}
    (folder / "my_cluster.yaml").write_text(yaml.safe_dump({**profile, **ours}))
    config = support.experiment(
        folder / "run",
        grid={"path": str(grid)},
        instrument={"name": "tiny", "arms": [{"start": 5150.0, "step": 0.03, "count": 700}], "resolution": 20_000},
        augment={"n_train": 1024, "n_valid": 16, "n_test": 32, "shard_rows": 16},
        train={"epochs": 1},
        predict={"shard_rows": 8},
    )
    settings = json.loads(config.model_dump_json())
    settings["cluster"] = {
        "profile": str(folder / "my_cluster.yaml"),
        "signal_delay_s": 5,
        "prepare": {"cpus_per_task": 2},
        "predict": {"nodes": 2, "tasks_per_node": 1},
    }
    (folder / "my_survey.yaml").write_text(yaml.safe_dump(settings))
    return load_config(folder / "my_survey.yaml")


def tutorial(beginning: str) -> list[list[str]]:
    """Return the commands of the tutorial that begin with these words and are about `my_survey.yaml`, in order."""
    page = (support.REPOSITORY / "docs" / "tutorial_cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line, comments=True) for kind, block in blocks if not kind for line in block.splitlines()]
    return [words for words in commands if " ".join(words).startswith(beginning) and "my_survey.yaml" in words]


def run(slurm: Slurm, config: ExperimentConfig, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where `my_survey.yaml` lies."""
    return slurm.run("bash", "-c", 'cd "$0" && exec "$@"', config.run_dir.parent, *words)


@contextmanager
def following(slurm: Slurm, config: ExperimentConfig) -> Iterator[subprocess.Popen[str]]:
    """Give the tutorial's `starnet-hpc run ... --executor slurm`, with --wait, as a process that has begun to wait."""
    (command,) = [words for words in tutorial("starnet-hpc run") if "--dry-run" not in words]
    said = config.run_dir.parent / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            [*command, "--wait"],
            cwd=config.run_dir.parent,
            env=dict(slurm.environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        support.wait_until(
            lambda: process.poll() is not None or ", job " in said.read_text(), "jobs", limit_s=PATIENCE_S
        )
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def undisturbed(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """A run whose chain the scripts in slurm/ have submitted, unchanged."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "grid").mkdir()
    for teff, logg, feh, afe in NODES:
        write_intrigoss(folder / "grid", template(teff=teff, logg=logg, feh=feh, afe=afe))
    config = survey(slurm, folder, folder / "grid")
    ((*command, _),) = tutorial("bash slurm/pipeline.sh")
    last = run(slurm, config, [*command, str(config.ensemble.members)]).stdout.split()[-1]
    slurm.await_end(last, 2 * PATIENCE_S)
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


def come_to(config: ExperimentConfig, key: str, state: str) -> None:
    support.wait_until(lambda: lines(config)[key].state == state, f"{key} {state}", limit_s=PATIENCE_S)


def queued_again(slurm: Slurm, job: str, times: int) -> Callable[[], bool]:
    """Return what tells whether a job was put back into the queue so many times."""
    return lambda: f" Restarts={times} " in slurm.run("scontrol", "--oneliner", "show", "job", job).stdout


def workers(config: ExperimentConfig, life: int) -> list[int]:
    """Return Dask's workers in a life of the job `prepare`, from 0, as soon as a shard was made there."""

    def forked() -> list[int]:
        ours = {pid: environment_of(pid) for pid in support.processes(FORKED)}
        ours = {pid: told for pid, told in ours.items() if told.get("SLURM_JOB_NAME") == f"{config.name}-prepare"}
        return sorted(pid for pid, told in ours.items() if parent(pid) in ours and is_life(told, life))

    support.wait_until(forked, f"workers in life {life}", limit_s=PATIENCE_S)
    before = shards_made(config)
    support.wait_until(lambda: shards_made(config) > before, f"a shard in life {life}", limit_s=PATIENCE_S)
    return forked()


def shards_made(config: ExperimentConfig) -> int:
    return len(list(config.run_dir.glob("train.markers/shard-*")))


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_life(told: dict[str, str], life: int) -> bool:
    """Say whether a process with this environment runs in a life of its job, from 0."""
    return bool(told) and told.get("SLURM_RESTART_COUNT", "0") == str(life)


@contextmanager
def predicting_rank(config: ExperimentConfig, life: int) -> Iterator[int]:
    """Give the process of a rank of the prediction in a life of its job, from 0; it is halted meanwhile."""
    found: list[int] = []

    def there() -> bool:
        for pid in support.processes(f"-m starnet_hpc.predict {config.run_dir}"):
            with suppress(OSError):
                # srun and the shell have the words, too
                if "python" in Path(f"/proc/{pid}/exe").resolve().name and is_life(environment_of(pid), life):
                    os.kill(pid, signal.SIGSTOP)
                    found.append(pid)
                    return True
        return False

    support.wait_until(there, f"a rank of the prediction in life {life}", limit_s=PATIENCE_S)
    with halted(found):
        yield found[0]


@pytest.mark.slow(reason="four jobs that start torch, and all figures of a report")
def test_the_scripts_run_the_whole_chain_unchanged(slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path) -> None:
    assert missing_of(undisturbed, confirm=True) == []
    log = (undisturbed.run_dir / "logs" / "predict.log").read_text()
    assert "4 ranks" in log, "predict.sbatch asks for two nodes with two ranks each"
    submit_chain(undisturbed)
    assert chain_lines(undisturbed) == [], "something was submitted although nothing is missing"

    process = undisturbed.model_copy(update={"run_dir": tmp_path / "alone"})
    ignored = shutil.ignore_patterns("jobs", "logs", "predictions", "test_catalogue*", "report*")
    shutil.copytree(undisturbed.run_dir, process.run_dir, ignore=ignored)
    claim(process)
    predict(process)
    assert same_catalogues(process, undisturbed), "ranks on two nodes do not write what one process writes"


def same_catalogues(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    return all((one.run_dir / name).read_bytes() == (other.run_dir / name).read_bytes() for name in CATALOGUES)


@pytest.mark.slow(reason="a whole chain, with three daemons or processes of it lost, and all figures of a report")
def test_the_tutorials_run_survives_the_loss_of_workers_of_the_controller_and_of_itself(
    slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path
) -> None:
    config = survey(slurm, tmp_path, undisturbed.grid.path)
    plan, dry_run, _, status = tutorial("starnet-hpc")
    assert "spectra" in run(slurm, config, plan).stdout
    assert run(slurm, config, dry_run).stdout.count("sbatch --parsable") == 4
    assert queue_is_empty(slurm)

    # A node is drained: what runs goes on, and what needs it waits.
    slurm.run("scontrol", "update", f"nodename={slurm.nodes[1]}", "state=drain", "reason=test")
    with following(slurm, config) as command:
        first = lines(config)
        assert list(first) == ["prepare", "members/0", "members/1", "predict", "evaluate"]
        prepare = first["prepare"].job
        # The job that makes the stores has to give way to an urgent one: it queues itself again.
        with halted(workers(config, 0)):
            preemption(slurm, nodes=slurm.nodes[:1])
            support.wait_until(queued_again(slurm, prepare, 1), "the queue", limit_s=PATIENCE_S)
        # One of its workers is killed: another one makes its shards.
        everyone = workers(config, 1)
        with halted(everyone):
            assert shards_made(config) < 64, "all was done before the worker died"
            os.kill(everyone[0], signal.SIGKILL)
        come_to(config, "prepare", "COMPLETED")
        assert same_stores(config, undisturbed)
        # The command is interrupted: its jobs go on.
        command.send_signal(signal.SIGINT)
        told = command.communicate(timeout=PATIENCE_S)[1]
        assert command.returncode == 1
        assert re.search(rf"the Slurm jobs .*{first['evaluate'].job} go on without this command: run it again", told)

    with following(slurm, config) as command:
        for member in ("members/0", "members/1"):
            come_to(config, member, "COMPLETED")
        assert lines(config)["predict"].state == "PENDING"
        # The controller is killed: `status` says so, and whoever waits goes on waiting.
        slurm.kill("slurmctld")
        told = run(slurm, config, status).stdout
        assert "Slurm does not answer: `squeue` fails" in told
        assert "member 01" in told
        slurm.start("slurmctld")
        # It may have forgotten that the node is drained.
        slurm.run("scontrol", "update", f"nodename={slurm.nodes[1]}", "state=resume", check=False)
        told = command.communicate(timeout=2 * PATIENCE_S)[1]
        assert command.returncode == 0, told
        assert "all that is missing is queued or running already" in told
    after = lines(config)
    assert {key: line.job for key, line in after.items()} == {key: line.job for key, line in first.items()}
    assert {line.state for line in after.values()} == {"COMPLETED"}
    assert same_catalogues(config, undisturbed)


@pytest.mark.slow(reason="five lives of a prediction, and Slurm looks at time limits every half a minute")
def test_whatever_happens_to_the_prediction_it_ends_with_the_same_catalogue(
    slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path
) -> None:
    config = survey(slurm, tmp_path, undisturbed.grid.path)
    ignored = shutil.ignore_patterns("jobs", "logs", "predictions", "test_catalogue*", "report*", "run.json", "*.yaml")
    shutil.copytree(undisturbed.run_dir, config.run_dir, ignore=ignored)
    with following(slurm, config) as command:
        first = lines(config)
        assert list(first) == ["predict", "evaluate"]
        job = first["predict"].job
        # The daemon of a node is killed, and then the controller: the job does not mind. A rank is killed: the job
        # queues itself again.
        with predicting_rank(config, 0) as rank:
            daemon = f"slurmd-{environment_of(rank)['SLURMD_NODENAME']}"
            slurm.kill(daemon)
            slurm.start(daemon)
            slurm.kill("slurmctld")
            slurm.start("slurmctld")
            os.kill(rank, signal.SIGKILL)
        support.wait_until(queued_again(slurm, job, 1), "the queue after the loss of a rank", limit_s=PATIENCE_S)
        # Its time runs out.
        with predicting_rank(config, 1):
            out_of_time(slurm, job)
            support.wait_until(queued_again(slurm, job, 2), "the queue after the time limit", limit_s=PATIENCE_S)
        # It has to give way to an urgent job.
        with predicting_rank(config, 2) as rank, preemption_by_sigterm(slurm):
            support.wait_until(lambda: has_heard(rank, signal.SIGTERM), "SIGTERM", limit_s=PATIENCE_S)
        support.wait_until(queued_again(slurm, job, 3), "the queue after the preemption", limit_s=PATIENCE_S)
        # A node fails: Slurm queues the job again.
        with predicting_rank(config, 3) as rank:
            node_failure(slurm, environment_of(rank)["SLURMD_NODENAME"], rank)
        # The job is cancelled: nothing comes back, and what waits for it is ended and says why.
        with predicting_rank(config, 4):
            slurm.run("scancel", job)
        told = command.communicate(timeout=PATIENCE_S)[1]
        assert command.returncode == 1
        assert "predict, evaluate did not finish; run the same command again to submit only that" in told
    after = lines(config)
    assert {key: line.state for key, line in after.items()} == {"predict": "CANCELLED", "evaluate": "CANCELLED"}
    assert f"predict (job {job}) ended CANCELLED" in after["evaluate"].note
    assert len(lost(config, job)) == 1, "what Slurm takes away counts as lost"

    submit_chain(config)
    come_to(config, "predict", "COMPLETED")
    assert same_catalogues(config, undisturbed)


def lost(config: ExperimentConfig, job: str) -> list[str]:
    """Return what the script of a job has noted of lost processes."""
    note = config.run_dir / "jobs" / f"lost-{job}"
    return note.read_text().splitlines() if note.exists() else []


def test_the_script_for_stores_on_two_nodes_makes_the_same_ones(
    slurm: Slurm, undisturbed: ExperimentConfig, tmp_path: Path
) -> None:
    config = survey(slurm, tmp_path, undisturbed.grid.path)
    shape = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1")
    log = tmp_path / "job.log"
    (command,) = tutorial("sbatch slurm/prepare.sbatch")
    slurm.await_end(
        run(slurm, config, [command[0], "--parsable", f"--output={log}", *shape, *command[1:]]).stdout.strip()
    )
    assert log.read_text().count("train.zarr: 1024 spectra") == 1
    assert same_stores(config, undisturbed)
