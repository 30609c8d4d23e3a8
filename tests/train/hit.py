"""Program of the tests of interruptions: train member 0, and send this process a signal at a chosen step.

`python hit.py CONFIG STEP SIGNAL`, alone or as one of several processes; the environment variable HIT_RANK (default 0)
says which of them is hit. Without STEP and SIGNAL it is `python -m starnet_hpc.train CONFIG`.
"""

import os
import signal
import sys
from typing import Any

from starnet_hpc.cli import stage_main
from starnet_hpc.train.masks import PixelMask


def arm(step: int, number: int) -> None:
    """Let the mask of the `step`-th batch (from 0) come with a signal."""
    calls = 0
    mask = PixelMask.train

    def masked(self: PixelMask, *arguments: Any) -> Any:
        nonlocal calls
        if calls == step:
            os.kill(os.getpid(), number)
        calls += 1
        return mask(self, *arguments)

    PixelMask.train = masked  # type: ignore[method-assign]


if __name__ == "__main__":
    config, *hit = sys.argv[1:]
    if hit and os.environ.get("RANK", "0") == os.environ.get("HIT_RANK", "0"):
        arm(int(hit[0]), signal.Signals[hit[1]])
    raise SystemExit(stage_main("train", [config]))
