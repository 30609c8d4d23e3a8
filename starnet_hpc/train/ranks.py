"""torch.distributed's only door: the processes that train one member together."""

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from starnet_hpc.agreement import agreed
from starnet_hpc.errors import LauncherError, StarnetError
from starnet_hpc.networks import span_ranks
from starnet_hpc.train.places import Place, announced_place

_PATIENCE = timedelta(minutes=10)
"""A rank that does not answer for this long takes the others down; one that dies does so at once."""
_OPTIONS = signature(DistributedDataParallel).parameters
_NO_SYNC: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _OPTIONS else "broadcast_buffers": False,
}
"""Batch statistics need not be sent round, all ranks have the same; the option's name depends on torch's version."""

Value = TypeVar("Value")
Failure = TypeVar("Failure", bound=StarnetError)


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train one member; one process alone is rank 0 of 1."""

    rank: int
    world: int
    local_world: int
    cores: int
    """Cores that this process may use."""
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def parallel(self, network: nn.Module, pixels: int) -> nn.Module:
        """Return the network with gradients averaged, and batch statistics taken, over all processes.

        Args:
            network: on this process's device, the same on all of them.
            pixels: length of a spectrum.
        """
        if self.world == 1:
            return network
        span_ranks(network, _gather)
        devices = [self.device.index] if self.device.type == "cuda" else None
        parallel = DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True, **_NO_SYNC)
        _settle_buckets(parallel, torch.zeros((1, pixels), device=self.device))
        return parallel

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> Tensor:
        """Return the tensors [processes, ...] of all processes, in their order."""
        return _gather(values) if self.world > 1 else values[None]

    def agree(self, action: Callable[[], Value]) -> Value:
        """Return `action()`, or raise on every process the error of the first one on which it failed."""
        return action() if self.world == 1 else agreed(action, self.everyone, first=self.first)

    def tell_once(self, error: Failure) -> Failure:
        """Return an error that every process raises at the same point, marked so that only the first tells of it."""
        error.told = not self.first
        return error

    def everyone(self, value: Value) -> list[Value]:
        """Return the plain values of all processes, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the first one's values of some tensors, of the same sizes everywhere."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the other processes that torchrun, submitit or srun announced in the environment; alone without any.

    Raises:
        LauncherError: the environment announces processes that cannot be reached, or contradicts itself; or one of the
            processes was lost on the way.
    """
    place = announced_place()
    device = _device(place.local_rank)
    if place.world == 1:
        yield Ranks(0, 1, 1, place.cores, device)
        return
    # NCCL wants a GPU for each process.
    own_gpus = device.type == "cuda" and (place.own_gpu or place.local_world <= torch.cuda.device_count())
    # What processes agree on lies in the machine's memory, so that no GPU is waited for.
    _join(place, "cpu:gloo,cuda:nccl" if own_gpus else "gloo")
    try:
        yield Ranks(place.rank, place.world, place.local_world, place.cores, device)
    except Exception as error:
        _let_go(error)
        if isinstance(error, StarnetError) or not (isinstance(error, RuntimeError) and _is_lost_contact(error)):
            raise
        raise LauncherError(
            f"rank {place.rank} of {place.world} lost contact with the others: one of them has died, or its machine "
            f"has (its own messages tell more); run the same command again to go on from the last checkpoint"
        ) from None
    finally:
        gc.collect()
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Drop what the frames that an error has passed through hold: the network that spans the processes, above all.

    That network keeps torch's group of processes alive, and whoever drops the group last waits for its threads. Those
    may want Python's lock to free a tensor: `destroy_process_group` lends it to them, the network does not. Then both
    wait for ever; or Python ends before they had it, and the process is aborted.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _gather(values: Tensor) -> Tensor:
    """Return the tensors [world, ...] of all processes."""
    everyone = values.new_zeros((dist.get_world_size(), *values.shape))
    everyone[dist.get_rank()] = values
    # Zeros everywhere else: the sum is exact, and any backend has it.
    dist.all_reduce(everyone)
    return everyone


def _settle_buckets(parallel: nn.Module, flux: Tensor) -> None:
    """Let DDP find the order in which gradients come, before the first step.

    It sorts its buckets anew after the first backward pass, and with three processes or more the order of a sum depends
    on its place in a bucket: without this, a run that goes on would not take the steps of one that never stopped.
    """
    parallel.eval()  # batch statistics stay as they are
    for _ in range(2):  # the new order comes into force with the second pass
        torch.autograd.backward(torch.stack([part.sum() for part in parallel(flux)]).sum() * 0.0)
    for parameter in parallel.parameters():
        parameter.grad = None
    parallel.train()


def _join(place: Place, backend: str) -> None:
    try:
        dist.init_process_group(
            backend, init_method=place.meeting, rank=place.rank, world_size=place.world, timeout=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise LauncherError(
            f"rank {place.rank} of {place.world} could not reach the others: {_first_line(error)}"
        ) from None


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether this is how torch tells that another process is gone; gloo has no error class of its own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "onnection" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device
