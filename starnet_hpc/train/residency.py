"""Where the spectra of a process lie while it trains: on its GPU, in memory, or on the disk.

What is chosen changes no batch, so that every process may choose by itself what it has room for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from starnet_hpc.errors import ConfigError

Home = Literal["device", "host", "stream"]
"""Where spectra lie: in the GPU's memory, in the machine's, on the disk."""
WORDS: dict[Home, str] = {
    "device": "on the GPU",
    "host": "in memory",
    "stream": "on the disk, and are read ahead of the steps",
}

_GPU_SHARE = 0.6
"""Of a GPU's free memory, what `auto` gives to spectra; the rest is for weights, activations and libraries."""
_HOST_SHARE = 0.5
"""Of the memory that is left to the machine or the job, what `auto` gives to the spectra of all processes there."""


@dataclass
class Room:
    """Memory that one process may fill [bytes]; it shrinks as spectra are given their place."""

    gpu: int | None
    """None: there is no GPU."""
    host: int
    gpu_auto: float
    """What `auto` may fill."""
    host_auto: float

    def home(self, wish: Literal["auto", "device", "host", "stream"], size: int, name: str) -> Home:
        """Return where spectra shall lie, and keep the room for them.

        Args:
            wish: `train.residency`; without a GPU, `device` is the machine's memory.
            size: of the spectra of this process [bytes].
            name: of their store, for the message.

        Raises:
            ConfigError: they do not fit where they shall be.
        """
        home = self._first_that_fits(size) if wish == "auto" else wish
        if home == "device" and self.gpu is not None:
            self._refuse_if_over(self.gpu, size, f"{name} on the GPU", wish)
            self.gpu, self.gpu_auto = self.gpu - size, self.gpu_auto - size
        elif home != "stream":
            self._refuse_if_over(self.host, size, f"{name} in memory", wish)
            self.host, self.host_auto = self.host - size, self.host_auto - size
            home = "host"
        return home

    def in_words(self) -> str:
        """Return what `auto` may fill, for the log."""
        gpu = "" if self.gpu is None else f"{gigabytes(max(self.gpu_auto, 0))} on the GPU and "
        return f"auto has room for {gpu}{gigabytes(max(self.host_auto, 0))} in memory"

    def _first_that_fits(self, size: int) -> Home:
        if self.gpu is not None and size <= self.gpu_auto:
            return "device"
        return "host" if size <= self.host_auto else "stream"

    @staticmethod
    def _refuse_if_over(room: int, size: int, what: str, wish: str) -> None:
        if size > room:
            raise ConfigError(
                f"train.residency: {wish} puts {gigabytes(size)} of {what}, where a process has room for "
                f"{gigabytes(room)}; choose auto, or stream"
            )


def measured_room(device: torch.device, local_world: int) -> Room:
    """Return the room of one of `local_world` processes that begin on this machine at the same time."""
    host = available_memory() // local_world
    gpu = None
    if device.type == "cuda":
        sharing = -(-local_world // torch.cuda.device_count())
        gpu = torch.cuda.mem_get_info(device)[0] // sharing
    return Room(gpu, host, _GPU_SHARE * (gpu or 0), _HOST_SHARE * host)


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that are left to this process: those of the machine, or of a control group (a job, a container).

    Args:
        root: where `proc` and `sys` are.
    """
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            machine = int(line.split()[1]) * 1024
    return min([machine, *_left_to_groups(root)])


def _left_to_groups(root: Path) -> Iterator[int]:
    """Yield what is left to each control group that this process is in; pages of files make way for others."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            mount, limit, usage, of_files = "", "memory.max", "memory.current", ("inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            mount, limit, usage = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            of_files = ("total_inactive_file", "total_active_file")
        else:
            continue
        top = root / "sys/fs/cgroup" / mount
        # In a container the path can be that of the machine outside, and not be there.
        inner = [] if ".." in path else [part for part in path.split("/") if part]
        for depth in range(len(inner) + 1):
            folder = top.joinpath(*inner[:depth])
            try:
                most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
                counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no limit ("max"), or no such group here
                continue
            yield max(most - used + sum(int(counts.get(name, 0)) for name in of_files), 0)


def gigabytes(size: float) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:.3g} GB"
