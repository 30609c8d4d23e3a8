"""What works on this machine."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from starnet_hpc.cli import main
from starnet_hpc.launch.chain import find_mpiexec
from starnet_hpc.launch.doctor import CHECKS, Finding, check_cores, check_mpi, check_slurm
from tests import support


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PMI_SIZE", "PMI_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_doctor_finds_this_machine_fit_and_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert all(subject in told for subject in ("Python", "cores", "GPU", "MPI", "Slurm", "files"))
    assert "fail" not in told


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_whatever_is_not_well_has_a_remedy(check: Callable[[], Finding]) -> None:
    found = check()
    assert found.what
    assert (found.state == "ok") or found.remedy


def test_more_threads_than_cores_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    found = check_cores()
    assert (found.state, "OMP_NUM_THREADS" in found.remedy) == ("warn", True)


def test_an_mpiexec_that_starts_strangers_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a launcher of another MPI does: the command twice, and nothing that tells the two of each other.
    program(tmp_path, "mpiexec", 'shift 2; "$@" && "$@"')
    monkeypatch.setattr("starnet_hpc.launch.doctor.find_mpiexec", lambda: str(tmp_path / "mpiexec"))
    found = check_mpi()
    assert (found.state, "it is not mpi4py's MPI" in found.what) == ("warn", True)
    assert found.remedy


def test_an_mpiexec_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mpiexec", "echo 'no route to host' >&2; exit 3")
    monkeypatch.setattr("starnet_hpc.launch.doctor.find_mpiexec", lambda: str(tmp_path / "mpiexec"))
    found = check_mpi()
    assert (found.state, found.what) == ("warn", "no route to host")


def test_a_slurm_whose_controller_is_silent_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "sbatch", "exit 0")
    program(tmp_path, "sinfo", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check_slurm()
    assert (found.state, "does not answer" in found.what) == ("warn", True)
    assert found.remedy


def test_mpiexec_is_looked_for_beside_python_and_then_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setenv("PATH", str(there))
    assert find_mpiexec() is None
    path = program(there, "mpiexec", "exit 0")
    assert find_mpiexec() == str(path)
    beside = program(here, "mpiexec", "exit 0")
    assert find_mpiexec() == str(beside)


def test_paths_with_brackets_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run [red]"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["doctor"]) == 0
    assert "run [red]" in capsys.readouterr().out


def test_doctor_needs_no_configuration() -> None:
    done = support.run("-m", "starnet_hpc", "doctor")
    assert done.returncode == 0, done.stderr
