"""What a wheel holds: `pip install .` on a cluster is not editable."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> set[str]:
    """Names in a wheel that was built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # From the files that git tracks: a build in the tree itself would leave build/ behind and take stray files along.
    subprocess.run(
        ["git", "checkout-index", "--all", f"--prefix={source}/"], cwd=pytestconfig.rootpath, check=True, timeout=60
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True, timeout=120)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as file:
        return set(file.namelist())


def test_a_wheel_holds_the_data_that_the_package_reads(wheel: set[str], pytestconfig: pytest.Config) -> None:
    package = pytestconfig.rootpath / "starnet_hpc"
    data = [
        path
        for path in package.rglob("*")
        if path.suffix in {".yaml", ".npz", ".txt", ".html", ".css", ".js", ".typed"}
    ]
    assert len(data) >= 6
    assert {str(path.relative_to(package.parent)) for path in data} <= wheel


def test_a_wheel_holds_no_tests(wheel: set[str]) -> None:
    assert not [name for name in wheel if Path(name).parts[0] in {"tests", "benchmarks", "tools"}]
