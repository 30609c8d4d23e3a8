"""Where the time of an epoch's steps goes, told without slowing them down."""

import resource
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import torch

PHASES = ("data", "forward", "backward", "optimiser")
"""`data`: waiting for a batch, bringing it to the device, masking its pixels; `forward` ends with the loss; `backward`
has the sums over processes in it; `optimiser`: clipping, the check that all is finite, and the step."""


class Mark(Protocol):
    """A point in the time of whatever takes the steps."""

    def passed(self) -> bool:
        """Whether the point lies in the past."""

    def wait(self) -> None:
        """Return when it does."""

    def since(self, earlier: Self) -> float:
        """Return the seconds from an earlier point, when both lie in the past."""


class Clock:
    """Adds up the seconds of each phase.

    A GPU takes its steps later than the program asks for them, so a phase begins and ends when the GPU comes by, and
    whether it has is only looked at: nothing here waits before `read`.
    """

    def __init__(self, mark: Callable[[], Mark]) -> None:
        """Set up a clock that makes its marks with `mark()`."""
        self._mark = mark
        self.restart({})

    def restart(self, spent: Mapping[str, float]) -> None:
        """Go on from these seconds a phase, with a lap that begins now."""
        self._spent = {phase: float(spent.get(phase, 0.0)) for phase in PHASES}
        self._last = self._mark()
        self._ahead: deque[tuple[str | None, Mark]] = deque()

    def lap(self, phase: str | None) -> None:
        """Let the time since the last lap belong to a phase; with None, to none of them."""
        self._ahead.append((phase, self._mark()))
        while self._ahead and self._ahead[0][1].passed():
            self._settle()

    def read(self) -> dict[str, float]:
        """Return the seconds of each phase until the last lap, when the device has come there."""
        while self._ahead:
            self._ahead[0][1].wait()
            self._settle()
        return dict(self._spent)

    def _settle(self) -> None:
        phase, end = self._ahead.popleft()
        if phase is not None:
            self._spent[phase] += end.since(self._last)
        self._last = end


class HostMark:
    """Now, on this machine's clock."""

    def __init__(self) -> None:
        self._at = time.perf_counter()

    def passed(self) -> bool:  # noqa: D102
        return True

    def wait(self) -> None:  # noqa: D102
        return

    def since(self, earlier: Self) -> float:  # noqa: D102
        return self._at - earlier._at


class GpuMark:
    """When the GPU has done all that it was asked for until now."""

    def __init__(self) -> None:
        self._event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._event.record()

    def passed(self) -> bool:  # noqa: D102
        return bool(self._event.query())

    def wait(self) -> None:  # noqa: D102
        self._event.synchronize()

    def since(self, earlier: Self) -> float:  # noqa: D102
        return float(earlier._event.elapsed_time(self._event)) / 1e3


def clock_of(device: torch.device) -> Clock:
    """Return a clock for steps on a device."""
    return Clock(GpuMark if device.type == "cuda" else HostMark)


def peak_memory(device: torch.device) -> tuple[float, float]:
    """Return the most memory [GB] this process has held so far: resident on its machine, and in tensors on its GPU."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts KiB
    gpu = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0
    return host, gpu
