"""The same tasks give the same results on any number of workers, and what goes wrong is told in a few words."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from dask.distributed import Client

from starnet_hpc import parallel
from starnet_hpc.errors import LauncherError
from starnet_hpc.parallel import running
from starnet_hpc.parallel.conditions import started
from starnet_hpc.parallel.crew import Crew
from starnet_hpc.parallel.pool import on_workers
from tests import support
from tests.parallel.cases import each
from tests.support import free_port, run, wait_until
from tests.tasks import (
    Fragile,
    Refusing,
    Waiting,
    circumstances,
    compute_then_write_together,
    lost_once,
    square,
    who,
    whose_child,
)


@pytest.fixture
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever happens, Dask says nothing of its own."""
    yield
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_one_worker_is_this_process(silence: None) -> None:
    assert dict(each(square, range(7), workers=1)) == {key: key * key for key in range(7)}
    assert {pid for _, pid in each(who, range(3), workers=1)} == {os.getpid()}


def test_several_workers_are_other_processes_and_give_the_same(dask_scheduler: str, silence: None) -> None:
    assert dict(each(square, range(50), scheduler=dask_scheduler)) == {key: key * key for key in range(50)}
    assert os.getpid() not in {pid for _, pid in each(who, range(8), scheduler=dask_scheduler)}


def test_a_local_cluster_starts_and_ends_in_silence(silence: None) -> None:
    environment = dict(os.environ)
    pids = {pid for _, pid in each(who, range(20), workers=2)}
    assert dict(os.environ) == environment  # not OMP_NUM_THREADS=1 for whatever this process starts next
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()  # and signals reach this process as before
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_a_worker_is_told_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Job scripts often say OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK, which a process a core would multiply."""
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    one, two = (value for _, value in each(circumstances, range(2), workers=2))
    assert one == two
    assert one.threads == ("1", "1", 1)
    # Dask's own setting of malloc triples the time of a spectrum: its fresh pages are all cleared by the system.
    assert one.trim_threshold == 256 << 20
    # Its share of the memory is all it may take; it is never paused for what malloc keeps, since nothing would wake it.
    assert one.memory_share == pytest.approx(0.5, abs=0.01)
    assert (one.pauses, one.spills) == (False, False)
    assert os.environ["OMP_NUM_THREADS"] == "8"


def test_the_workers_of_a_pool_stay_for_its_next_tasks() -> None:
    config = support.experiment(Path("unused"), augment={"workers": 2})
    with parallel.workers(config, tasks=20) as pool:
        first = {pid for _, pid in pool.each(who, range(20))}
        second = {pid for _, pid in pool.each(who, range(20))}
    assert second <= first
    assert len(first) == 2
    assert os.getpid() not in first


def test_workers_are_forked_from_one_process_that_has_imported_what_they_need(silence: None) -> None:
    families = [family for _, family in each(whose_child, range(20), workers=2)]
    parents, children = {parent for parent, _ in families}, {child for _, child in families}
    assert len(parents) == 1
    assert len(children) == 2
    assert os.getpid() not in parents | children


def test_where_no_socket_fits_into_the_temporary_folder_workers_start_from_scratch(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    program = """
from tests.parallel.cases import each
from tests.tasks import square
if __name__ == "__main__":
    assert dict(each(square, range(5), workers=2)) == {key: key * key for key in range(5)}
"""
    ended = run("-c", program, TMPDIR=str(folder))
    assert (ended.returncode, ended.stderr) == (0, "")


ENDS = """
import os, pathlib
def dask_setup(worker):
    left = pathlib.Path("{left}")
    if left.stat().st_size:
        os.truncate(left, left.stat().st_size - 1)
        os._exit(9)
"""


@pytest.mark.parametrize("times", [1, 4])
def test_a_worker_that_is_lost_as_it_starts_is_replaced_once(tmp_path: Path, silence: None, times: int) -> None:
    left = tmp_path / "left"
    left.write_text("." * times)
    with dask.config.set({"distributed.worker.preload": [ENDS.format(left=left)]}):
        if times == 1:
            assert dict(each(square, range(5), workers=2)) == {key: key * key for key in range(5)}
            return
        with pytest.raises(LauncherError, match=r"ended as they started, twice .*fewer augment\.workers"):
            list(each(square, range(5), workers=2))


def test_of_two_tasks_of_a_worker_one_computes_at_a_time() -> None:
    order: list[str] = []

    def compute() -> None:
        with parallel.computing():
            order.append("second")

    other = threading.Thread(target=compute)
    with parallel.computing():
        other.start()
        other.join(timeout=0.1)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_worker_with_two_threads_writes_what_is_ready_while_it_computes() -> None:
    with support.dask_cluster(1, threads=2) as cluster:
        keys = dict(each(compute_then_write_together, range(6), scheduler=cluster.scheduler_address))
    assert keys == {key: key for key in range(6)}


def test_dask_is_not_imported_where_there_is_one_worker() -> None:
    program = """
import sys
from tests.parallel.cases import each
from tests.tasks import square
assert len(list(each(square, range(5), workers=1))) == 5
raise SystemExit(sorted({"dask", "distributed"} & set(sys.modules)) or "neither")
"""
    assert run("-c", program).stderr == "neither\n"


def test_workers_are_expected_only_where_some_will_be_started_here(tmp_path: Path) -> None:
    program = """
from multiprocessing import forkserver
from pathlib import Path
from starnet_hpc import parallel
from tests import support
def expected(tasks, **augment):
    parallel.expect_workers(support.experiment(Path("unused"), augment=augment), tasks=tasks, module="tests.tasks")
    return forkserver._forkserver._forkserver_pid is not None
assert not expected(9, workers=1)
assert not expected(1, workers=2)
assert not expected(9, workers=2, scheduler="tcp://127.0.0.1:1")
assert expected(9, workers=2)
"""
    ended = run("-c", program)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_keys_are_taken_when_a_worker_is_free_for_them(dask_scheduler: str) -> None:
    """What waits takes no memory, however many rows a store shall have."""
    taken = 0

    def keys() -> Iterator[int]:
        nonlocal taken
        for key in range(200):
            taken += 1
            yield key

    ahead = []
    config = support.experiment(Path("unused"), augment={"scheduler": dask_scheduler})
    with parallel.workers(config, tasks=200) as pool:
        for told, _ in enumerate(pool.each(square, keys()), start=1):
            ahead.append(taken - told)
    assert len(ahead) == 200
    assert max(ahead) <= 4  # one for each worker


def test_no_keys_start_no_workers(silence: None) -> None:
    assert list(each(square, [], scheduler="tcp://127.0.0.1:1")) == []


def test_an_exception_arrives_as_itself_without_a_word_from_dask(silence: None) -> None:
    with pytest.raises(LookupError, match=r"^'?key 3 is not for me'?$"):
        list(each(Refusing(3), range(20), workers=1))
    with pytest.raises(LookupError, match=r"^'?key 3 is not for me'?$"):
        list(each(Refusing(3), range(20), workers=2))


def test_results_come_before_the_exception_that_ends_them(dask_scheduler: str) -> None:
    told: list[int] = []
    with pytest.raises(LookupError):
        told.extend(key for key, _ in each(Refusing(40), range(41), scheduler=dask_scheduler))
    assert len(told) >= 36  # all but those that were under way on the four workers


def test_a_worker_that_is_killed_in_the_middle_is_replaced_and_its_task_done_again(
    tmp_path: Path, silence: None
) -> None:
    assert dict(each(Fragile(2, tmp_path), range(6), workers=2)) == {key: key for key in range(6)}
    assert (tmp_path / "2").read_text() == "begun\nbegun\n"


def test_a_result_that_is_lost_with_its_worker_is_made_again_by_the_one_that_replaces_it(tmp_path: Path) -> None:
    # The only worker dies while it sends a result, of which nothing waits but the fetch; only `care` brings another.
    started: list[subprocess.Popen[str]] = []
    with support.dask_cluster(0) as cluster, Client(cluster) as client:

        def care(workers: int) -> None:
            if not workers and all(process.poll() is not None for process in started):
                words = ("-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny", "--nthreads=1")
                started.append(support.start(*words))

        notes = [tmp_path / name for name in "abc"]
        for other in notes[1:]:
            other.touch()
        told = dict(on_workers(Crew(client, care), lost_once, iter(notes), lambda: False))
    assert told == {note: note.name for note in notes}
    assert len(started) == 2
    support.finish(started)


def test_work_that_kills_every_worker_is_given_up_with_advice(tmp_path: Path) -> None:
    # Not in silence: a worker that Dask is just restarting when the cluster closes may print its own traceback.
    with pytest.raises(LauncherError, match=r"ended 4 worker processes.*on 127\.0\.0\.1; .*augment\.workers"):
        list(each(Fragile(0, tmp_path, always=True), range(2), workers=2))


def test_at_most_one_task_a_worker_is_under_way_and_a_stop_starts_no_other(tmp_path: Path, dask_scheduler: str) -> None:
    os.mkfifo(tmp_path / "gate")
    stop = threading.Event()
    gates: list[int] = []

    def begun() -> list[Path]:
        return list(tmp_path.glob("begun-*"))

    def stop_then_let_go() -> None:
        wait_until(lambda: len(begun()) == 4, "four tasks begin")
        stop.set()
        gates.append(os.open(tmp_path / "gate", os.O_WRONLY))
        os.close(gates[0])

    other = threading.Thread(target=stop_then_let_go)
    other.start()
    told = [key for key, _ in each(Waiting(tmp_path), range(100), scheduler=dask_scheduler, stop=stop.is_set)]
    other.join()
    assert sorted(told) == [0, 1, 2, 3]
    assert len(begun()) == len(list(tmp_path.glob("done-*"))) == 4


def test_a_stop_before_the_start_starts_nothing(dask_scheduler: str) -> None:
    for scheduler in ("local", dask_scheduler):
        assert list(each(square, range(5), scheduler=scheduler, workers=1, stop=lambda: True)) == []


def test_one_worker_stops_between_two_tasks() -> None:
    told: list[int] = []
    for key, _ in each(square, range(100), workers=1, stop=lambda: len(told) >= 3):
        told.append(key)
    assert told == [0, 1, 2]


def test_workers_do_not_see_the_signals_that_a_whole_process_group_gets() -> None:
    """As scancel and Ctrl-C send them: only the process that was started answers."""
    program = """
import os, signal
from starnet_hpc.interrupts import stop_requests
from tests.parallel.cases import each
from tests.tasks import who
if __name__ == "__main__":
    os.setpgid(0, 0)
    with stop_requests() as stop:
        pids = []
        for _, pid in each(who, range(40), workers=2):
            pids.append(pid)
            if len(pids) == 4:
                os.killpg(0, signal.SIGTERM)
                os.killpg(0, signal.SIGUSR1)
        assert stop and len(pids) == 40 and len(set(pids)) == 2, pids
        try:
            for _ in each(who, range(40), workers=2):
                os.killpg(0, signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemExit("interrupted")
"""
    ended = run("-c", program)
    assert (ended.returncode, ended.stderr) == (1, "interrupted\n")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, silence: None) -> None:
    monkeypatch.setattr(running, "_CONNECT_S", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(LauncherError, match=rf"augment\.scheduler: no Dask scheduler answers at {address}"):
        list(each(square, range(3), scheduler=address))


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, silence: None) -> None:
    # No host name: looking one up is up to the machine's resolver, and can hold Dask's threads for ten seconds.
    monkeypatch.setattr(running, "_CONNECT_S", 1)
    with pytest.raises(LauncherError, match="answers at nonsense://here:1"):
        list(each(square, range(3), scheduler="nonsense://here:1"))


def test_dask_gets_a_second_try_to_start_on_a_machine_that_stalls() -> None:
    tries = iter([AssertionError, None])

    def start() -> str:
        if error := next(tries):
            raise error
        return "started"

    assert started(start) == "started"
    tries = iter([AssertionError, AssertionError])
    with pytest.raises(AssertionError):
        started(start)


def test_a_scheduler_without_workers_is_told_apart(monkeypatch: pytest.MonkeyPatch, silence: None) -> None:
    monkeypatch.setattr(running, "_NO_WORKER_S", 1)
    told = r"has had no worker for 1 s; start some with `dask worker tcp://"
    with support.dask_cluster(0) as cluster, pytest.raises(LauncherError, match=told):
        list(each(square, range(3), scheduler=cluster.scheduler_address))


def test_available_cores_are_those_of_the_job() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert parallel.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert parallel.available_cores() == len(before)
