"""Numbers about errors and sigmas, with standard errors of their own: arrays in, numbers out.

What training, calibration and the report say about an ensemble is computed here, so that they mean the same by it.
"""

from starnet_hpc.statistics.estimates import (
    GAUSSIAN_MAD,
    NOTHING,
    ONE_SIGMA,
    TWO_SIGMA,
    Clusters,
    Estimate,
    Floats,
    mean,
    median,
    rms,
    robust_std,
    share,
    std,
)
from starnet_hpc.statistics.scatter import Population, population
from starnet_hpc.statistics.sigmas import (
    crps,
    crps_of_each,
    jackknife_error,
    log_likelihood_loss,
    one_sigma_factor,
    probability_integral,
    temperature,
    uniform_distance,
)

__all__ = [
    "GAUSSIAN_MAD",
    "NOTHING",
    "ONE_SIGMA",
    "TWO_SIGMA",
    "Clusters",
    "Estimate",
    "Floats",
    "Population",
    "crps",
    "crps_of_each",
    "jackknife_error",
    "log_likelihood_loss",
    "mean",
    "median",
    "one_sigma_factor",
    "population",
    "probability_integral",
    "rms",
    "robust_std",
    "share",
    "std",
    "temperature",
    "uniform_distance",
]
