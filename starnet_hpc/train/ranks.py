"""torch.distributed's only door: the processes that train one member together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from starnet_hpc.errors import LauncherError
from starnet_hpc.networks import span_ranks

_PATIENCE = timedelta(minutes=10)
"""A rank that does not answer for this long takes the others down."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train one member; one process alone is rank 0 of 1."""

    rank: int
    world: int
    local_world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged, and batch statistics taken, over all processes."""
        if self.world == 1:
            return network
        span_ranks(network, _SumOverRanks.apply)
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any process; all must ask at the same point."""
        if self.world == 1:
            return flag
        return bool(self.sum(torch.tensor([float(flag)], device=self.device)).item() > 0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the other processes that torchrun, submitit or Slurm announced in the environment; alone without any.

    Raises:
        LauncherError: the environment announces processes that cannot be reached, or contradicts itself.
    """
    world = _number("WORLD_SIZE", 1)
    rank, local_rank = _number("RANK", 0), _number("LOCAL_RANK", 0)
    device = _device(local_rank)
    if world > 1:
        if "MASTER_ADDR" not in os.environ:
            raise LauncherError("WORLD_SIZE is set but MASTER_ADDR is not: start with torchrun, submitit, or alone")
        backend = "nccl" if device.type == "cuda" else "gloo"
        try:
            dist.init_process_group(backend, rank=rank, world_size=world, timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise LauncherError(f"rank {rank} of {world} could not reach the others: {error}") from None
    try:
        yield Ranks(rank, world, _number("LOCAL_WORLD_SIZE", 1), device)
    finally:
        if world > 1:
            dist.destroy_process_group()


class _SumOverRanks(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]  # torch types it for any number
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    try:
        return int(text)
    except ValueError:
        raise LauncherError(f"the environment variable {variable} is {text!r}, expected a whole number") from None
