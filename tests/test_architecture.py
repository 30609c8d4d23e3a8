"""What import-linter cannot see, and the size of rooms (docs/design.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "starnet_hpc"
SOURCES = sorted(PACKAGE.rglob("*.py"))
STAGES = ("ingest", "observe", "augment", "train", "predict", "evaluate")
MOST_LINES = 400
FOR_KERNELS = {"numpy", "numba", "scipy", *sys.stdlib_module_names}
MAY_PRINT = {"cli.py", "launch/doctor.py"}
DOORS = {
    "torch.distributed": {"train"},
    "mpi4py": {"world.py", "predict"},
    "submitit": {"launch"},
    "dask": {"parallel"},
    "distributed": {"parallel"},
    "dask_jobqueue": {"parallel"},
    "dask_mpi": {"parallel"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield the full names of all modules and names that a source imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 80
    assert {room(path) for path in SOURCES} >= {*STAGES, "kernels", "stores", "config", "launch"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage_and_nothing_above(stage: str) -> None:
    others = [f"starnet_hpc.{other}" for other in (*STAGES, "launch", "cli") if other != stage]
    wrong = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in (PACKAGE / stage).rglob("*.py")
        if path.name != "__main__.py"  # the command line, which stands above
        for name in imports(path)
        if any(below(name, other) for other in others)
    }
    assert wrong == set()


@pytest.mark.parametrize(("engine", "rooms"), DOORS.items())
def test_each_engine_has_one_door(engine: str, rooms: set[str]) -> None:
    users = {room(path) for path in SOURCES if any(below(name, engine) for name in imports(path))}
    assert users == rooms


def test_torch_distributed_is_not_reached_through_torch_either() -> None:
    wrong = [
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        if room(path) != "train"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "distributed"
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    ]
    assert wrong == []


def test_kernels_know_only_arrays() -> None:
    wrong = {
        f"{path.name}: {name}"
        for path in (PACKAGE / "kernels").rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] not in FOR_KERNELS and not below(name, "starnet_hpc.kernels")
    }
    assert wrong == set()


def test_kernels_let_other_threads_of_their_process_run_meanwhile() -> None:
    """A worker writes one shard while it makes the next; compiled code keeps Python's lock unless it is told not to."""
    kernels = [
        (f"{path.name}: {node.name}", ast.unparse(decorator))
        for path in (PACKAGE / "kernels").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if "jit" in ast.unparse(decorator)
    ]
    assert len(kernels) > 20
    assert [name for name, decorator in kernels if "nogil=True" not in decorator] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small_enough_to_be_one_room_and_people_are_spoken_to_in_few_places(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    prints = any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(ast.parse(text))
    )
    assert not prints or str(path.relative_to(PACKAGE)) in MAY_PRINT


def test_random_numbers_have_no_hidden_state() -> None:
    """Numbers are functions of their keys: no global generator is seeded or drawn from."""
    forbidden = ("numpy.random", "random")
    wrong = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in SOURCES
        for name in imports(path)
        if any(below(name, module) for module in forbidden)
    }
    assert wrong == set()
