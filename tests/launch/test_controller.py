"""Slurm's controller may be away for a while: it is asked again, and never told twice."""

from pathlib import Path

import pytest

from starnet_hpc.errors import LauncherError
from starnet_hpc.launch.controller import NEVER, JobState, states, submit
from tests.launch.fakeslurm import FakeSlurm, fake

__all__ = ["fake"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "job.sbatch"
    path.write_text("#!/bin/bash\n")
    return path


@pytest.mark.parametrize("although_done", [False, True], ids=["refused", "submitted without an answer"])
def test_sbatch_that_fails_for_a_while_submits_one_job(fake: FakeSlurm, script: Path, although_done: bool) -> None:
    fake.fails("sbatch", 3, "Batch job submission failed: Socket timed out on send/recv", although_done=although_done)
    assert submit(script, "token") == "101"
    assert len(fake.lines("calls")) == 1


def test_what_slurm_refuses_is_told_at_once(fake: FakeSlurm, script: Path) -> None:
    fake.fails("sbatch", 2, "invalid partition specified: nowhere")
    with pytest.raises(LauncherError, match=r"invalid partition specified: nowhere; check the section `cluster`"):
        submit(script, "token")
    assert (fake.folder / "sbatch.failures").read_text() == "."


def test_a_controller_that_never_answers_is_given_up_with_its_words(fake: FakeSlurm, script: Path) -> None:
    fake.fails("squeue", 99, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(LauncherError, match=r"`squeue` fails \(7 times\): .*Unable to contact slurm controller"):
        states(["1"])


def test_squeue_that_fails_for_a_while_is_asked_again(fake: FakeSlurm, script: Path) -> None:
    job = submit(script, "token")
    fake.fails("squeue", 4, "Unexpected message received")
    assert states([job]) == {job: JobState("PENDING")}


def test_ended_jobs_are_looked_for_in_accounting_and_else_unknown(fake: FakeSlurm) -> None:
    fake.program("sacct", "echo 'JobID|State|NodeList'; echo '7|CANCELLED by 0|node1'; echo '7.batch|CANCELLED|node1'")
    assert states(["7", "8"]) == {"7": JobState("CANCELLED", "", "node1"), "8": JobState("unknown")}
    fake.program("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert states(["7"]) == {"7": JobState("unknown")}


def test_what_waits_for_a_failed_job_is_not_alive() -> None:
    assert JobState("PENDING", "Dependency").alive
    assert JobState("COMPLETING").alive
    assert not JobState("PENDING", NEVER).alive
    assert not JobState("CANCELLED").alive
