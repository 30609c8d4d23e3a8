"""Stage `augment`: realistic spectra from templates, built in parallel, each row a function of its key."""

from starnet_hpc.augment.simulate import Simulated, simulate_survey
from starnet_hpc.augment.stage import augment

__all__ = ["Simulated", "augment", "simulate_survey"]
