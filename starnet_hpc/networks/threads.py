"""Kernels that do layers' work: where they can, and on as many threads as torch uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def kernels_serve(x: Tensor, weight: Tensor) -> bool:
    """Return whether kernels can work on an input of a layer, and with its weights: in float32, on a CPU."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def for_each(rows: int, work: Callable[[int], None]) -> None:
    """Call `work` for every row, on as many threads as torch uses: they take the rows as they come."""
    threads = min(torch.get_num_threads(), rows)
    if threads <= 1:
        for row in range(rows):
            work(row)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(rows)):
            pass
