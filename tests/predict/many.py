"""Program of test_mpi.py: predict several experiments one after the other, under mpiexec or alone.

`python many.py CONFIG...`. With HIT_HOW something goes wrong on the rank HIT_RANK ("all": on every rank), at the
HIT_AT-th unit of that rank (from 0).
"""

import errno
import os
import signal
import sys
from typing import Any

from starnet_hpc.cli import stage_main
from starnet_hpc.errors import ConfigError
from starnet_hpc.predict import stage, velocity


def at_unit(place: int, action: Any) -> None:
    calls = 0
    moments = velocity.member_moments

    def hit(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == place + 1:
            action()
        return moments(*arguments, **options)

    velocity.member_moments = hit


def raising(error: Exception) -> Any:
    def action(*arguments: Any) -> None:
        raise error

    return action


def arm(how: str, place: int) -> None:
    if how == "kill":
        at_unit(place, lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif how == "expected error":
        at_unit(place, raising(RuntimeError("made up")))
    elif how == "unexpected error":
        at_unit(place, raising(ZeroDivisionError("made up")))
    elif how == "error of one rank alone":
        stage.load_instrument = raising(ConfigError("made up"))
    elif how == "full disk":
        stage.write_unit = raising(OSError(errno.ENOSPC, "made up"))


if __name__ == "__main__":
    if "HIT_HOW" in os.environ and os.environ["HIT_RANK"] in {"all", os.environ.get("PMI_RANK", "0")}:
        arm(os.environ["HIT_HOW"], int(os.environ.get("HIT_AT", "0")))
    raise SystemExit(max(stage_main("predict", [path]) for path in sys.argv[1:]))
