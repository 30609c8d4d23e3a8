"""Stage `observe`: files of observed spectra -> `survey.zarr`, as the network was trained to see them."""

from starnet_hpc.observe.stage import FILES_PER_WORKER, observe

__all__ = ["FILES_PER_WORKER", "observe"]
