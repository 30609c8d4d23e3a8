"""Stage `predict`: labels with uncertainties for every row of a survey, by one process or many MPI ranks."""

from starnet_hpc.predict.ensemble import Ensemble, MembersThere, load_ensemble, members_there
from starnet_hpc.predict.finished import is_predicted
from starnet_hpc.predict.stage import predict

__all__ = ["Ensemble", "MembersThere", "is_predicted", "load_ensemble", "members_there", "predict"]
