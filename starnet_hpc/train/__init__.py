"""Stage `train`: one member of the ensemble, by as many processes as were started."""

from starnet_hpc.train.stage import is_trained, member_digest, train

__all__ = ["is_trained", "member_digest", "train"]
