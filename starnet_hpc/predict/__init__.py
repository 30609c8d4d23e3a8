"""Stage `predict`: labels with uncertainties for every row of a survey, by one process or many MPI ranks."""

from starnet_hpc.predict.stage import predict

__all__ = ["predict"]
