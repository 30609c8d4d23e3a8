"""Program of the tests of slow disks: train member 0 from the disk, which stops to answer at a chosen shard.

`python slow.py CONFIG READ PIPE`, alone or as one of several processes; the environment variable HIT_RANK (default 0)
says which of them waits. Before the READ-th shard (from 0) comes, the named pipe PIPE is read: for as long as another
process has it open for writing.
"""

import os
import sys
from pathlib import Path
from typing import Any

from starnet_hpc.cli import stage_main
from starnet_hpc.stores import Store


def arm(number: int, pipe: Path) -> None:
    calls = 0
    read_shard = Store.read_shard

    def slow(self: Store, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number + 1:
            pipe.read_bytes()
        read_shard(self, *arguments)

    Store.read_shard = slow  # type: ignore[method-assign]


if __name__ == "__main__":
    config, number, pipe = sys.argv[1:]
    if os.environ.get("RANK", "0") == os.environ.get("HIT_RANK", "0"):
        arm(int(number), Path(pipe))
    raise SystemExit(stage_main("train", [config]))
