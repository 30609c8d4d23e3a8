"""Stage `train`: one member of the ensemble, by as many processes as were started."""

from starnet_hpc.train.stage import train

__all__ = ["train"]
