"""Rules for the whole suite.

With CI=true nothing is left out in silence: a skip is a failure, unless its reason says what the machine lacks, and at
least one test on a real Slurm must have passed.
"""

import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

IN_CI = os.environ.get("CI") == "true"
REPORT = ("tests/evaluate/test_browser.py", "tests/evaluate/test_stage.py")
ACCEPTED_SKIPS = ("no shared data:", "no GPU:", "no browser:")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
CLUSTER = "cluster"
"""Marker of the tests on a real Slurm, and the name of the process that runs them all: there is one Slurm."""
cluster_tests_passed: list[str] = []


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """Material that lies beside the repository where it is developed: reference spectra, observed stars, tools."""
    folder = pytestconfig.rootpath.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data: {folder} is not there")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal whole files to the processes, which share what a file's fixtures made.

    All tests on Slurm are as one file, and so are those that look at the same report.

    Not `--dist loadgroup`: with pytest 9 the groups that xdist 3.8 adds to the names of tests are not seen.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.startswith(f"tests/{CLUSTER}/"):
                return CLUSTER
            return REPORT[0] if file in REPORT else file

    return ByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count in the process that sums up, whichever ran the test."""
    if report.when == "call" and report.passed and CLUSTER in report.keywords:
        cluster_tests_passed.append(report.nodeid)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)  # importorskip, skip(allow_module_level=True)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _sums_up(session.config) and session.exitstatus == pytest.ExitCode.OK and not cluster_tests_passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _sums_up(config) and not cluster_tests_passed:
        terminalreporter.write_line("ERROR: CI=true, and no test marked `cluster` has passed", red=True)


def _sums_up(config: pytest.Config) -> bool:
    """Whether this process answers for all tests, and nothing may be left out."""
    return IN_CI and not hasattr(config, "workerinput")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not IN_CI or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(ACCEPTED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: a skip is a failure in CI ({reason})"


@pytest.fixture(scope="session")
def dask_scheduler() -> Iterator[str]:
    """Address of a running Dask scheduler with four worker processes, started once for all tests."""
    from tests import support

    # Its threads would log a slow machine to whatever standard error is by then, also after pytest has closed it.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    environment = dict(os.environ)
    with support.dask_cluster(4) as cluster:
        os.environ.clear()  # Dask leaves its workers' environment in ours
        os.environ.update(environment)
        yield cluster.scheduler_address
