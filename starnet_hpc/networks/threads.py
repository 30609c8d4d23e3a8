"""Kernels on as many threads as torch uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


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
