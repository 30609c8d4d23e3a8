"""How tests call workers: one pool for one list of keys."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from starnet_hpc import parallel
from tests import support

Key = TypeVar("Key")
Result = TypeVar("Result")


def each(
    task: Callable[[Key], Result],
    keys: Sequence[Key],
    *,
    run_dir: Path = Path("unused"),
    stop: Callable[[], bool] = lambda: False,
    cluster: dict[str, Any] | None = None,
    **augment: Any,
) -> Iterator[tuple[Key, Result]]:
    """Yield what workers make of keys; keywords are the section `augment` (`workers`, `scheduler`)."""
    config = support.experiment(run_dir, augment=augment, cluster=cluster or {})
    with parallel.workers(config, tasks=len(keys), stop=stop) as pool:
        yield from pool.each(task, keys)
