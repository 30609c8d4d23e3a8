"""Signals that ask a stage to stop: remembered, and looked at between two pieces of work."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Slurm sends SIGTERM at a time limit or `scancel`; SIGUSR1 and SIGUSR2 are what sbatch's --signal is asked to send."""


class StopRequest:
    """Whether, and by what, this process was asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)


@contextmanager
def stop_requests(*, keyboard: bool = False) -> Iterator[StopRequest]:
    """Collect stop signals instead of dying of them; nothing else is done in the handler. Main thread only.

    Args:
        keyboard: collect Ctrl-C, too, which otherwise interrupts at once.
    """
    request = StopRequest()
    collected = (*STOP_SIGNALS, signal.SIGINT) if keyboard else STOP_SIGNALS
    before = {number: signal.signal(number, request._remember) for number in collected}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set by Python
