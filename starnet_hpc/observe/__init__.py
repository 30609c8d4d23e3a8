"""Stage `observe`: files of observed spectra -> `survey.zarr`, as the network was trained to see them."""

from starnet_hpc.observe.stage import observe

__all__ = ["observe"]
