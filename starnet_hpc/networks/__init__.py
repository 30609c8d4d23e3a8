"""Networks, their loss, their files, and the mathematics of the ensemble."""

from starnet_hpc.networks.combination import Combined, Moments, combined, correlations, label_pairs, merge, moments
from starnet_hpc.networks.features import FeatureMoments, FeatureSpace
from starnet_hpc.networks.heads import Gaussian, Mixture, Prediction, negative_log_likelihood
from starnet_hpc.networks.network import Network
from starnet_hpc.networks.normalisation import span_ranks
from starnet_hpc.networks.saved import (
    Member,
    TrainedOn,
    add_facts,
    build_network,
    describe_member,
    describe_members,
    load_member,
    recipe_digest,
    save_dict,
)
from starnet_hpc.networks.scale import LabelScale
from starnet_hpc.networks.transfer import Layer, inherit

__all__ = [
    "Combined",
    "FeatureMoments",
    "FeatureSpace",
    "Gaussian",
    "LabelScale",
    "Layer",
    "Member",
    "Mixture",
    "Moments",
    "Network",
    "Prediction",
    "TrainedOn",
    "add_facts",
    "build_network",
    "combined",
    "correlations",
    "describe_member",
    "describe_members",
    "inherit",
    "label_pairs",
    "load_member",
    "merge",
    "moments",
    "negative_log_likelihood",
    "recipe_digest",
    "save_dict",
    "span_ranks",
]
