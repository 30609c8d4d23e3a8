"""Exit codes, and words for people: 0 complete, 1 failed, 2 bad configuration or arguments; never a traceback."""

import argparse
import errno
from pathlib import Path
from typing import Any

import pytest

from starnet_hpc import __version__, cli
from starnet_hpc.errors import ConfigError, JobFailedError, StarnetError, StorageFullError
from starnet_hpc.launch import rundir
from tests.config.cases import INSTRUMENT, write
from tests.support import run

STAGES = ("ingest", "augment", "train", "observe", "predict", "evaluate")
COMMANDS = (*STAGES, "ensemble", "run", "verify", "plan", "status")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, {"run_dir": str(tmp_path / "run"), "instrument": INSTRUMENT})


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_a_program_that_explains_itself(stage: str) -> None:
    said = run("-m", f"starnet_hpc.{stage}", "--help")
    assert said.returncode == 0
    assert said.stderr == ""
    assert f"usage: python -m starnet_hpc.{stage}" in said.stdout
    assert "SECTION.KEY=VALUE" in said.stdout


@pytest.mark.parametrize("command", [*COMMANDS, "quickstart", "instruments", "doctor", "watch"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: starnet-hpc {command}" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"starnet-hpc {__version__}\n"


def test_instruments_are_listed_printed_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["instruments"]) == 0
    assert "weave_hr        4046-6840   3     43,480   20000" in capsys.readouterr().out
    assert cli.main(["instruments", "weave_hr"]) == 0
    mine = tmp_path / "mine.yaml"
    mine.write_text(capsys.readouterr().out.replace("resolution: 20000", "resolution: 21000"), encoding="utf-8")
    assert cli.main(["instruments", str(mine)]) == 0
    assert "R = 21000\n11880 pixels, 4046.0000 to 4639.9500 A in air" in capsys.readouterr().out
    assert cli.main(["instruments", "weave"]) == 2
    assert "there is no 'weave'; give one of boss, " in capsys.readouterr().err
    mine.write_text("name: mine\n", encoding="utf-8")
    assert cli.main(["instruments", str(mine)]) == 2
    assert "mine.yaml: arms: this key is required" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["augment"],
        ["augment", "c.yaml", "--sett", "x"],
        ["augment", "c.yaml", "more"],
        ["train", "c.yaml", "--member", "first"],
        ["run", "c.yaml", "--executor", "pbs"],
    ],
)
def test_bad_arguments_end_with_2_and_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: starnet-hpc" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_configuration_ends_with_2_before_anything_is_written(
    command: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, str(config), "--set", "augment.n_trian=5"]) == 2
    said = capsys.readouterr().err
    assert said == (f"starnet-hpc: error: {config} with --set: augment.n_trian: unknown key; did you mean 'n_train'?\n")
    assert not (config.parent / "run").exists()
    assert cli.main([command, str(config.with_name("none.yaml"))]) == 2


def test_a_bad_configuration_given_to_a_program_ends_with_2_and_one_line(config: Path) -> None:
    said = run("-m", "starnet_hpc.augment", config, "--set", "seed=x")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith("python -m starnet_hpc.augment: error: ")


def test_a_missing_input_ends_with_1_and_what_to_do_first(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["augment", str(config)]) == 1
    assert "make it first with `starnet-hpc ingest CONFIG`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("key"), 2, "starnet-hpc: error: key\n"),
        (JobFailedError("job"), 1, "starnet-hpc: error: job\n"),
        (StorageFullError("disk"), 1, "starnet-hpc: error: disk\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "starnet-hpc: error: /x: Permission denied\n"),
        (KeyboardInterrupt(), 1, "starnet-hpc: interrupted; run the same command again to go on\n"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(
    error: BaseException, code: int, said: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(rundir, "claim", _raise(error))
    assert cli.main(["augment", str(config)]) == code
    assert capsys.readouterr().err == said


def test_an_error_that_another_rank_tells_is_not_told_twice(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = StarnetError("once")
    error.told = True
    monkeypatch.setattr(rundir, "claim", _raise(error))
    assert cli.main(["augment", str(config)]) == 1
    assert capsys.readouterr().err == ""


def test_a_defect_of_ours_keeps_its_traceback(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "claim", _raise(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["augment", str(config)])


def test_overrides_add_up(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def stage(checked: Any, options: argparse.Namespace) -> None:
        seen.append(checked)

    monkeypatch.setitem(cli._STAGES, "augment", (stage, ""))
    assert cli.main(["augment", str(config), "--set", "seed=3", "--set", "augment.n_train=7"]) == 0
    assert (seen[0].seed, seen[0].augment.n_train) == (3, 7)


def _raise(error: BaseException) -> Any:
    def raises(*arguments: object) -> None:
        raise error

    return raises


LOSING = """
import argparse, asyncio, gc
from starnet_hpc import cli
from starnet_hpc.errors import StarnetError

def action(options):
    async def several():
        asyncio.get_running_loop().run_in_executor(None, int, "no number")
        await asyncio.sleep(0.2)
        gc.collect()
    asyncio.run(several())
    raise StarnetError("the disk is full")

parser = argparse.ArgumentParser(prog="losing")
parser.set_defaults(action=action)
raise SystemExit(cli._guarded(parser, []))
"""


def test_what_else_failed_beside_the_first_error_is_not_told_in_tracebacks() -> None:
    said = run("-c", LOSING)
    assert (said.returncode, said.stderr) == (1, "losing: error: the disk is full\n")
