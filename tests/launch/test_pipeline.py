"""The chain as jobs: each submitted once, in an order that Slurm keeps, with scripts that people can read."""

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import JobFailedError, LauncherError, StoreMismatchError
from starnet_hpc.launch import controller, pipeline, waiting
from starnet_hpc.launch.controller import NEVER
from starnet_hpc.launch.jobs import SlurmJobs
from starnet_hpc.launch.pipeline import submit_chain
from starnet_hpc.launch.rundir import claim
from starnet_hpc.launch.scripts import STAGES, script_for
from starnet_hpc.launch.submissions import Submission, note, noted_chain
from starnet_hpc.launch.waiting import JobLine, chain_lines
from starnet_hpc.progress import stage_log
from tests import support
from tests.launch.fakeslurm import FakeSlurm, fake

__all__ = ["fake"]

KEYS = ["prepare", "members/0", "members/1", "predict", "evaluate"]


def chain(tmp_path: Path, **sections: Any) -> ExperimentConfig:
    return support.experiment(tmp_path / "run", ensemble={"members": 2}, **sections)


def lines(config: ExperimentConfig) -> dict[str, JobLine]:
    return {line.key: line for line in chain_lines(config)}


def test_each_stage_waits_for_the_one_before_and_a_rerun_submits_nothing(fake: FakeSlurm, tmp_path: Path) -> None:
    config = chain(tmp_path)
    submit_chain(config)
    assert {key: line.job for key, line in lines(config).items()} == dict(
        zip(KEYS, ["101", "102_0", "102_1", "103", "104"], strict=True)
    )
    calls = fake.lines("calls")
    told = [call.partition("--dependency=")[2].split() for call in calls]
    assert [words[0] if words else "" for words in told] == ["", "afterok:101", "afterok:102_0:102_1", "afterok:103"]
    assert all("--kill-on-invalid-dep=yes" in words for words in told if words)
    submit_chain(config)
    assert fake.lines("calls") == calls


def test_only_a_failed_member_and_what_needs_it_are_submitted_again(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = chain(tmp_path)
    submit_chain(config)
    monkeypatch.setattr(pipeline, "missing_of", lambda config, confirm: ["members/1", "predict", "evaluate"])
    for job, state, reason in (("101", "COMPLETED", "None"), ("102_0", "COMPLETED", "None"),
                               ("102_1", "FAILED", "NonZeroExitCode"), ("103", "PENDING", NEVER),
                               ("104", "PENDING", "Dependency")):  # fmt: skip
        fake.says(job, state, reason)
    log = config.run_dir / "logs" / "slurm-members-102_1.log"
    log.write_text("first\nthe loss is not finite\n")
    told = lines(config)
    assert "the loss is not finite" in told["members/1"].note
    assert "cannot begin, because members/1 (job 102_1) ended FAILED" in told["predict"].note
    submit_chain(config)
    assert fake.lines("cancelled") == ["--quiet 103 104"]
    assert len(fake.lines("calls")) == 4 + 3
    assert "#SBATCH --array=1\n" in (config.run_dir / "jobs" / "members.sbatch").read_text()
    assert [lines(config)[key].job for key in KEYS[1:]] == ["102_0", "105_1", "106", "107"]


def test_a_command_that_ended_before_it_knew_the_number_has_submitted_the_job(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = chain(tmp_path)
    submit = controller.submit

    def killed(script: Path, token: str, *options: str) -> str:
        submit(script, token, *options)
        raise KeyboardInterrupt

    monkeypatch.setattr(controller, "submit", killed)
    with pytest.raises(KeyboardInterrupt):
        submit_chain(config)
    assert noted_chain(config.run_dir / "jobs")["prepare"].job is None
    monkeypatch.setattr(controller, "submit", submit)
    submit_chain(config)
    assert [call.rsplit("/", 1)[1] for call in fake.lines("calls")] == [f"{stage}.sbatch" for stage in STAGES]
    assert "--dependency=afterok:101 " in fake.lines("calls")[1]


def test_sbatch_and_squeue_may_fail_for_a_while(fake: FakeSlurm, tmp_path: Path) -> None:
    fake.fails("sbatch", 3, "Unable to contact slurm controller (connect failure)")
    fake.fails("squeue", 3, "Unable to contact slurm controller (connect failure)")
    submit_chain(chain(tmp_path))
    assert len(fake.lines("calls")) == 4


def test_whoever_waits_is_told_of_each_change_and_which_jobs_go_on_after_ctrl_c(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(seconds: float) -> None:
        if "101, job" not in shown:
            shown.append("101, job")
            fake.says("101", "COMPLETED")
            fake.fails("squeue", 1, "Unable to contact slurm controller (connect failure)")
            return
        raise KeyboardInterrupt

    shown: list[str] = []
    monkeypatch.setattr(waiting, "time", SimpleNamespace(sleep=later))
    with pytest.raises(KeyboardInterrupt):
        submit_chain(chain(tmp_path), wait=True)
    told = capsys.readouterr()
    assert "prepare, job 101: COMPLETED" in told.out
    assert "the Slurm jobs 102_0, 102_1, 103, 104 go on without this command" in told.err
    assert "`scancel 102 103 104`" in told.err


def test_a_chain_that_has_failed_is_told_at_once(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = chain(tmp_path)
    submit_chain(config)
    for job in ("101", "102_0", "102_1", "103", "104"):
        fake.says(job, "CANCELLED")
    fake.program("sbatch", "exit 1")
    looks: list[float] = []
    for module in (waiting, pipeline):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=looks.append, monotonic=time.monotonic))
    with stage_log("run", config.run_dir) as log:
        waiting.follow(config, log)
    assert len(looks) == 1, "a job that is queued again may look like that, once"
    with pytest.raises(JobFailedError, match="prepare, members/0, members/1, predict, evaluate did not finish"):
        pipeline._raise_failures(config)
    assert len(looks) == 1, "it waits for files of jobs that have not made any"


def test_a_controller_that_is_away_is_named(fake: FakeSlurm, tmp_path: Path) -> None:
    config = chain(tmp_path)
    submit_chain(config)
    fake.fails("squeue", 1, "Unable to contact slurm controller (connect failure)")
    (note,) = {line.note for line in chain_lines(config, patient=False)}
    assert note == (
        "Slurm does not answer: `squeue` fails: squeue: error: Unable to contact slurm controller (connect failure)"
    )


def test_jobs_of_another_configuration_are_not_mixed_with_this_one(fake: FakeSlurm, tmp_path: Path) -> None:
    submit_chain(chain(tmp_path))
    submit_chain(chain(tmp_path, cluster={"time": 60}))  # how jobs are run does not matter
    with pytest.raises(StoreMismatchError, match=r"prepare is being made with another .* job 101: .*`scancel 101`"):
        submit_chain(chain(tmp_path, train={"epochs": 77}))
    assert len(fake.lines("calls")) == 4


def test_members_of_ensemble_and_of_run_are_not_trained_twice(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = chain(tmp_path)
    claim(config)
    monkeypatch.setattr(pipeline, "missing_of", lambda config, confirm: KEYS[1:])
    (config.run_dir / "jobs").mkdir()
    note(config.run_dir / "jobs", {0: Submission("55_0", 1, "recipe")})
    (fake.folder / "queue").write_text("55_0|RUNNING|None|node1|\n")
    submit_chain(config)
    assert "#SBATCH --array=1\n" in (config.run_dir / "jobs" / "members.sbatch").read_text()
    assert "afterok:55_0:101_1" in fake.lines("calls")[1]
    fake.program("srun", "exit 0")
    with pytest.raises(LauncherError, match="member 1 is in the Slurm job 101_1, which `starnet-hpc run`"):
        SlurmJobs(config).adopt([1])


@pytest.mark.parametrize("slurm", [True, False], ids=["with Slurm", "without"])
def test_a_dry_run_shows_everything_and_does_nothing(
    fake: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    slurm: bool,
) -> None:
    config = chain(tmp_path, cluster={"account": "def-somebody", "setup": ["module load python"], "mpi": "pmix"})
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(json.loads(config.model_dump_json())))
    if not slurm:
        for name in ("sbatch", "squeue", "sinfo"):
            (fake.folder / name).unlink()
        monkeypatch.setenv("PATH", str(fake.folder))
    assert main(["run", str(file), "--executor", "slurm", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.count("#SBATCH --account=def-somebody\n") == 4
    assert told.count("\nmodule load python\n") == 4
    assert "srun --kill-on-bad-exit=1 --cpus-per-task=1 --mpi=pmix" in told
    assert "sbatch --parsable --dependency=afterok:$job_of_members --kill-on-invalid-dep=yes" in told
    assert ("There is no Slurm here" in told) is not slurm
    assert not config.run_dir.exists()
    assert not fake.lines("calls")


def test_what_only_jobs_can_do_is_refused_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(json.loads(chain(tmp_path).model_dump_json())))
    for option in ("--dry-run", "--wait"):
        assert main(["run", str(file), "--executor", "local", option]) == 2
        assert f"{option} is for the executor `slurm`" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("nodes", [1, 2])
def test_scripts_are_ones_that_bash_can_read(tmp_path: Path, stage: str, nodes: int) -> None:
    config = chain(tmp_path, cluster={"prepare": {"nodes": nodes, "tasks_per_node": 4}})
    text = script_for(config, stage, tmp_path / "a file.yaml", [0, 1]).text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert ("augment.scheduler=mpi" in text) is (stage == "prepare" and nodes == 2)


@pytest.mark.parametrize(
    ("ends", "state", "tries", "code", "requeued"),
    [
        ("exit 0", "RUNNING", 0, 0, 0),
        ("exit 1", "RUNNING", 0, 1, 0),
        ("exit 1", "RUNNING PreemptTime=None", 0, 1, 0),
        ("exit 1", "RUNNING PreemptTime=2026-11-25T11:43:38", 3, 1, 1),
        ("exit 75", "RUNNING", 0, 75, 1),
        ("exit 233", "RUNNING", 0, 233, 1),
        ("kill -9 $$", "RUNNING", 0, 137, 1),
        ("kill $$", "RUNNING", 0, 143, 1),  # what srun says when one of several ranks was killed
        ("kill -9 $$", "RUNNING", 2, 137, 0),
        ("kill $$", "SIGNALING PreemptTime=2026-11-25T11:43:38", 0, 143, 1),
        ("kill $$", "COMPLETING", 0, 143, 0),
    ],
    ids=[
        "done",
        "failed with a message",
        "not preempted",
        "preempted",
        "Slurm started no step",
        "a node is silent",
        "killed",
        "a rank was killed",
        "killed for the third time",
        "preempted just now",
        "cancelled",
    ],
)
def test_a_job_is_queued_again_only_if_it_has_lost_a_process_or_its_place(
    fake: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
    state: str,
    tries: int,
    code: int,
    requeued: int,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    note = f'echo "$@" >> {fake.folder}/requeued'
    fake.program("scontrol", f'if [ "$1" = show ]; then echo "   JobState={state} Reason=None"; else {note}; fi')
    fake.fails("scontrol", 3, "Unable to contact slurm controller (connect failure)")
    fake.program("sleep", f'echo "$@" >> {fake.folder}/slept')
    config = chain(tmp_path)
    (config.run_dir / "jobs").mkdir(parents=True)
    (config.run_dir / "jobs" / "lost-12").write_text(".\n" * tries)
    fake.program("python", ends)
    monkeypatch.setattr("sys.executable", str(fake.folder / "python"))
    text = script_for(config, "evaluate", tmp_path / "c.yaml").text
    done = subprocess.run(["bash"], input=text, text=True, check=False, capture_output=True)
    assert done.returncode == code, done.stderr
    assert fake.lines("requeued") == ["requeue 12"] * requeued
    assert (fake.lines("slept") == ["1", "2", "4"]) is bool(code)
