"""Shares of time: what belongs to which phase, on a device that works behind the program's back."""

from pathlib import Path

import pytest
import torch

from starnet_hpc.train.clock import PHASES, Clock, GpuMark, clock_of, peak_memory


class Device:
    """Passes a mark so many seconds after it was made; time is turned by hand."""

    def __init__(self, lag: float) -> None:
        self.now, self.lag, self.waits = 0.0, lag, 0

    def mark(self) -> "DeviceMark":
        return DeviceMark(self)


class DeviceMark:
    def __init__(self, device: Device) -> None:
        self.device, self.at = device, device.now + device.lag

    def passed(self) -> bool:
        return self.device.now >= self.at

    def wait(self) -> None:
        if not self.passed():
            self.device.waits += 1
            self.device.now = self.at

    def since(self, earlier: "DeviceMark") -> float:
        assert self.passed(), "a time that is not known yet"
        return self.at - earlier.at


def step(device: Device, clock: Clock, *seconds: float) -> None:
    for phase, spent in zip(PHASES, seconds, strict=False):
        device.now += spent
        clock.lap(phase)


@pytest.mark.parametrize("lag", [0.0, 100.0])
def test_each_phase_has_the_time_from_the_lap_before_to_its_own(lag: float) -> None:
    device = Device(lag)
    clock = Clock(device.mark)
    step(device, clock, 1, 2, 3, 4)
    device.now += 50
    clock.lap(None)
    step(device, clock, 1, 2, 3, 4)
    assert clock.read() == {"data": 2, "forward": 4, "backward": 6, "optimiser": 8}


def test_nothing_waits_for_the_device_before_the_clock_is_read() -> None:
    device = Device(lag=100.0)
    clock = Clock(device.mark)
    for _ in range(3):
        step(device, clock, 1, 2, 3, 4)
    assert device.waits == 0
    assert clock.read()["optimiser"] == 12
    assert device.waits > 0


def test_laps_that_the_device_has_passed_are_not_kept() -> None:
    device = Device(lag=15.0)
    clock = Clock(device.mark)
    for _ in range(1000):
        step(device, clock, 1, 2, 3, 4)
    assert len(clock._ahead) <= 2 * len(PHASES)  # what the device has still to come to in 15 s


def test_an_epoch_that_goes_on_goes_on_from_the_seconds_before() -> None:
    device = Device(lag=0.0)
    clock = Clock(device.mark)
    step(device, clock, 1, 2, 3, 4)
    before = clock.read()
    device.now += 1000  # nobody at work
    clock.restart(before)
    step(device, clock, 10, 10, 10, 10)
    assert clock.read() == {"data": 11, "forward": 12, "backward": 13, "optimiser": 14}


def test_a_cpu_is_timed_by_the_machines_clock() -> None:
    clock = clock_of(torch.device("cpu"))
    clock.lap("data")
    (spent,) = {phase: s for phase, s in clock.read().items() if s > 0}.items()
    assert spent[0] == "data"
    assert spent[1] < 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: its events cannot be tried")
def test_a_gpu_is_timed_by_events_of_its_own() -> None:
    device = torch.device("cuda")
    large = torch.ones((4096, 4096), device=device)
    clock = clock_of(device)
    assert isinstance(clock._last, GpuMark)
    for _ in range(20):
        large = large @ large * 1e-4
    clock.lap("forward")
    torch.cuda.synchronize()
    clock.lap("backward")
    spent = clock.read()
    assert spent["forward"] > 10 * spent["backward"]
    assert peak_memory(device)[1] >= 3 * large.numel() * 4 / 1e9


def test_peak_memory_is_that_which_the_kernel_tells_of_this_process() -> None:
    host, gpu = peak_memory(torch.device("cpu"))
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    # Each thread counts some pages for itself before it tells them.
    assert host == pytest.approx(int(told["VmHWM"].split()[0]) * 1024 / 1e9, rel=0.01)
    assert gpu == 0
