"""Stage `augment`: realistic spectra from templates, built in parallel, each row a function of its key."""

from starnet_hpc.augment.rehearsal import rehearse
from starnet_hpc.augment.simulate import Simulated, simulate_survey
from starnet_hpc.augment.stage import augment
from starnet_hpc.augment.verification import Regenerated, regenerate

__all__ = ["Regenerated", "Simulated", "augment", "regenerate", "rehearse", "simulate_survey"]
