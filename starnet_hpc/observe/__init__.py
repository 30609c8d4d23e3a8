"""Stage `observe`: files of observed spectra -> `survey.zarr`, as the network was trained to see them."""

from starnet_hpc.observe.shards import FileReduction
from starnet_hpc.observe.stage import FILES_PER_WORKER, observe, survey_settings

__all__ = ["FILES_PER_WORKER", "FileReduction", "observe", "survey_settings"]
