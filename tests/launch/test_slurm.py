"""What is made of Slurm's answers; the commands that give them are scripts here, the real ones are in tests/cluster."""

import signal
from pathlib import Path

import pytest

from starnet_hpc.cli import main
from starnet_hpc.errors import ConfigError, InterruptedRunError
from starnet_hpc.launch import slurm
from starnet_hpc.launch.slurm import UNKNOWN, Queue, queue_again, queued_again, states_of_jobs
from tests import support

RUNNING = "JobState=RUNNING Reason=None Requeue=1 Restarts=0 PreemptTime=None"
ENDING = "JobState=COMPLETING Requeue=1 PreemptTime=None"


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs are found first; this process is in the job 12."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def scontrol(folder: Path, facts: str, requeue: str = "exit 0") -> None:
    """Let `scontrol show` say these facts, and `scontrol requeue` be remembered and do what is told."""
    program(
        folder,
        "scontrol",
        f"""case "$*" in
            '--oneliner show job 12') echo 'JobId=12 JobName=a b {facts} NodeList=node[1-2]' ;;
            'requeue 12') touch {folder}/requeued; {requeue} ;;
        esac""",
    )


@pytest.mark.parametrize(
    ("facts", "number", "returns", "words"),
    [
        (RUNNING, signal.SIGUSR2, True, "queued again"),
        (RUNNING, signal.SIGTERM, False, "SIGTERM asks for an end"),
        (RUNNING.replace("PreemptTime=None", "PreemptTime=2026-11-24T23:33:49"), signal.SIGTERM, True, "queued again"),
        (f"{ENDING} Reason=None Restarts=0", signal.SIGTERM, False, "cancelled"),
        (f"{ENDING} Reason=None Restarts=0", signal.SIGUSR2, False, "cancelled"),
        (f"{ENDING} Reason=TimeLimit Restarts=0", signal.SIGTERM, True, "queued again"),
    ],
    ids=["warned", "asked to end", "preempted", "cancelled", "warned, then cancelled", "out of time"],
)
def test_an_interrupted_job_comes_back_unless_its_end_is_meant(
    bin_folder: Path, facts: str, number: signal.Signals, returns: bool, words: str
) -> None:
    scontrol(bin_folder, facts)
    found, told = queue_again(number)
    assert found is returns
    assert words in told
    assert (bin_folder / "requeued").exists() is returns


def test_what_slurm_itself_queues_again_is_left_to_it(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    scontrol(bin_folder, f"{ENDING} Reason=None Restarts=3")
    assert queue_again(signal.SIGTERM) == (True, "Slurm queues the job again")
    assert not (bin_folder / "requeued").exists()


def test_a_refusal_is_told_in_slurms_words(bin_folder: Path) -> None:
    scontrol(bin_folder, RUNNING, requeue="echo 'Requested operation is presently disabled' >&2; exit 1")
    assert queue_again(signal.SIGUSR2) == (None, "`scontrol` fails: Requested operation is presently disabled")


def test_a_controller_that_is_silent_does_not_keep_a_job_from_trying(bin_folder: Path) -> None:
    program(bin_folder, "scontrol", f'[ "$1" = requeue ] && touch {bin_folder}/requeued')
    assert queue_again(signal.SIGTERM) == (False, "SIGTERM asks for an end")
    assert queue_again(signal.SIGUSR2) == (True, "the job is queued again")
    assert (bin_folder / "requeued").exists()


def test_only_the_rank_that_talks_queues_the_job_again(bin_folder: Path) -> None:
    scontrol(bin_folder, RUNNING)
    for told, queued in ((True, False), (False, True)):
        error = InterruptedRunError("stopped")
        error.signal, error.told = signal.SIGUSR2, told
        words = "stopped; the job is queued again" if queued else "^stopped$"
        with pytest.raises(InterruptedRunError, match=words), queued_again(asked=True):
            raise error
        assert (bin_folder / "requeued").exists() is queued


def test_requeue_outside_slurm_is_refused_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    config = support.ready_to_train(tmp_path / "run")
    assert main(["train", str(config.run_dir / "config.yaml"), "--requeue"]) == ConfigError.exit_code
    assert "--requeue is for jobs of Slurm" in capsys.readouterr().err
    assert not config.member_dir(0).exists()


# --- the queue --------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what squeue shows; without it, squeue fails. Every question is asked at once."""
    monkeypatch.setattr(slurm, "_ASK_EVERY_S", 0.0)
    path = bin_folder / "answers"
    program(bin_folder, "squeue", f"cat {path}")
    return path


def test_a_job_has_ended_when_two_answers_say_so(answers: Path) -> None:
    queue = Queue()
    for shown, ended in (
        ("12_0|RUNNING\n12_1|PENDING", False),
        ("12_0|PREEMPTED\n12_1|PENDING", False),  # on its way back into the queue
        ("12_0|PENDING\n12_1|PENDING", False),
        ("12_0|COMPLETING\n12_1|PENDING", False),
        ("12_0|FAILED\n12_1|PENDING", False),
        ("12_1|PENDING", True),  # forgotten already
    ):
        answers.write_text(shown)
        assert queue.has_ended("12_0") is ended, shown
    assert queue.state("12_0") == "FAILED"
    assert queue.state("12_1") == "PENDING"
    assert queue.state("7") == UNKNOWN


def test_a_controller_that_does_not_answer_ends_no_job(answers: Path) -> None:
    queue = Queue()
    assert states_of_jobs() is None
    assert [queue.has_ended("12") for _ in range(5)] == [False] * 5
    answers.write_text("")
    assert [queue.has_ended("12") for _ in range(2)] == [False, True]


def test_slurm_is_not_asked_more_often_than_it_may_be(answers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_ASK_EVERY_S", 1000.0)
    answers.write_text("")
    queue = Queue()
    assert not any(queue.has_ended("12") for _ in range(5))
