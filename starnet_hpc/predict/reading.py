"""The next unit's fluxes come from the disk while networks work on this one."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.stores import Store

Read = Callable[[], NDArray[np.floating]]


def read_ahead(store: Store, units: Sequence[range]) -> Generator[Read, None, None]:
    """Yield for each range of rows what waits for its fluxes [rows, pixels] and returns them, or raises why not.

    Two units are held at most: the one that is asked for, and the next one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        coming = [pool.submit(store.read, rows.start, rows.stop) for rows in units[:1]]
        for number in range(len(units)):
            now = coming.pop()
            now.exception()  # waits: fluxes that are still on their way are the next unit's alone
            coming = [pool.submit(store.read, rows.start, rows.stop) for rows in units[number + 1 : number + 2]]
            yield now.result
