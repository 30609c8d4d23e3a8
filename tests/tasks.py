"""Tasks for `parallel.each`, importable by worker processes."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


def square(key: int) -> int:
    return key * key


def who(key: int) -> int:
    return os.getpid()


def trim_threshold(key: int) -> int:
    return int(os.environ["MALLOC_TRIM_THRESHOLD_"])


@dataclass(frozen=True)
class Refusing:
    """Fails at one key."""

    bad: int

    def __call__(self, key: int) -> int:
        if key == self.bad:
            raise LookupError(f"key {key} is not for me")
        return key


@dataclass(frozen=True)
class Fragile:
    """Its worker is killed while it works on one key, the first time or every time."""

    bad: int
    notes: Path
    always: bool = False

    def __call__(self, key: int) -> int:
        with (self.notes / str(key)).open("a") as note:
            note.write("begun\n")
        if key == self.bad and (self.always or (self.notes / str(key)).read_text() == "begun\n"):
            os.kill(os.getpid(), signal.SIGKILL)
        return key


@dataclass(frozen=True)
class Waiting:
    """Notes that it has begun, and goes on when it is let."""

    notes: Path

    def __call__(self, key: int) -> int:
        (self.notes / f"begun-{key}").touch()
        with (self.notes / "gate").open() as gate:  # a FIFO: opens when the test opens its other end
            gate.read()
        (self.notes / f"done-{key}").touch()
        return key
