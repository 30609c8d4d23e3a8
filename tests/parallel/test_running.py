"""A scheduler that somebody else has started: found by its address or its file, and missed with a few words."""

import json
import re
from pathlib import Path

import pytest

from starnet_hpc.errors import ConfigError, LauncherError
from starnet_hpc.parallel import running
from starnet_hpc.parallel.crew import Patience
from tests import support
from tests.parallel.cases import each
from tests.tasks import Lasting, square


def test_a_scheduler_is_found_by_the_file_it_wrote(dask_scheduler: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"type": "Scheduler", "address": dask_scheduler, "workers": {}}))
    assert dict(each(square, range(9), scheduler=str(file))) == {key: key * key for key in range(9)}


@pytest.mark.parametrize("content", [None, "", '{"address', "[]", "{}"])
def test_a_file_without_an_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(running, "_CONNECT_S", 0.3)
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LauncherError, match=rf"{file} has no address .*`dask scheduler --scheduler-file {file}`"):
        list(each(square, range(3), scheduler=str(file)))


def test_a_scheduler_file_means_the_same_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOMEWHERE", "/scratch")
    config = support.experiment(tmp_path / "run", augment={"scheduler": "dask.json"})
    assert config.augment.scheduler == str(tmp_path / "dask.json")
    config = support.experiment(tmp_path / "run", augment={"scheduler": "$SOMEWHERE/dask.json"})
    assert config.augment.scheduler == "/scratch/dask.json"


@pytest.mark.parametrize("word", ["Slurm", "localhost:8786", "pbs", ""])
def test_what_is_no_scheduler_is_refused_with_the_choices(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigError, match=rf"scheduler.*local, slurm, mpi.*got {re.escape(repr(word))}"):
        support.experiment(tmp_path / "run", augment={"scheduler": word})


def test_a_scheduler_that_ends_in_the_middle_is_told(tmp_path: Path) -> None:
    cluster = support.dask_cluster(1, threads=2)
    answers = each(Lasting(0.05), range(1000), scheduler=cluster.scheduler_address)
    next(answers)
    cluster.close()
    with pytest.raises(LauncherError, match="the Dask scheduler went away before the work was done; run the same"):
        list(answers)


def test_patience_ends_after_the_limit_without_workers_and_begins_anew_when_some_come() -> None:
    now = 0.0
    patience = Patience(10.0, clock=lambda: now)
    for time, workers in ((9.0, 0), (9.5, 1), (19.0, 0)):
        now = time
        patience.test(workers, lambda: "nobody came")
    now = 20.0
    with pytest.raises(LauncherError, match=r"^nobody came$"):
        patience.test(0, lambda: "nobody came")
