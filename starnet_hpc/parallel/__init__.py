"""Dask's only door: the same pure task for many keys, on one process, one machine or a cluster.

`pool` hands the tasks out; each other module knows one kind of scheduler, and is loaded when it is asked for.
"""

from starnet_hpc.parallel.pool import Pool, available_cores, computing, expect_workers, workers

__all__ = ["Pool", "available_cores", "computing", "expect_workers", "workers"]
