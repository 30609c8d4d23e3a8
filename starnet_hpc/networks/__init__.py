"""Networks, their loss, their files, and the mathematics of the ensemble."""

from starnet_hpc.networks.combination import Combined, Moments, combined, merge, moments
from starnet_hpc.networks.gaussian import LabelScale, negative_log_likelihood
from starnet_hpc.networks.normalisation import span_ranks
from starnet_hpc.networks.saved import (
    Member,
    TrainedOn,
    build_network,
    describe_members,
    load_member,
    recipe_digest,
    save_dict,
)

__all__ = [
    "Combined",
    "LabelScale",
    "Member",
    "Moments",
    "TrainedOn",
    "build_network",
    "combined",
    "describe_members",
    "load_member",
    "merge",
    "moments",
    "negative_log_likelihood",
    "recipe_digest",
    "save_dict",
    "span_ranks",
]
