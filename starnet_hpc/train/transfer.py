"""Spectra from the machine's memory to the device."""

from collections.abc import Generator, Iterable

import torch
from torch import Tensor


def host_memory(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return memory of this machine for what a device needs: of a GPU, pages that it can fetch while others work.

    CUDA rounds such memory up to a power of two.
    """
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def on_device(fluxes: Iterable[Tensor], device: torch.device) -> Generator[Tensor, None, None]:
    """Yield tensors on the device; a GPU fetches each while it works on the one before.

    Args:
        fluxes: tensors in `host_memory`, which may be written over when the next is asked for.
        device: where they are wanted.
    """
    if device.type != "cuda":
        yield from fluxes
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    waiting: tuple[Tensor, torch.cuda.Event] | None = None
    for flux in fluxes:
        with torch.cuda.stream(side):
            fetched = flux.to(device, non_blocking=True)
        arrived = side.record_event()
        if waiting is not None:
            yield _handed_over(*waiting)
        waiting = fetched, arrived
        arrived.synchronize()  # before the next is asked for; a step has passed since then, except at the beginning
    if waiting is not None:
        yield _handed_over(*waiting)


def _handed_over(flux: Tensor, arrived: torch.cuda.Event) -> Tensor:
    """Return a tensor that the stream of the steps may use, as soon as it has arrived."""
    steps = torch.cuda.current_stream(flux.device)
    steps.wait_event(arrived)
    flux.record_stream(steps)  # its memory is the other stream's, which must not reuse it before
    return flux
