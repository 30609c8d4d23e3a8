"""Imported by the process that workers are forked from: what a process loads for its first kernel is there for all."""

import numpy as np
import scipy.interpolate  # noqa: F401  # what the first continuum would import

import starnet_hpc.augment.shards  # noqa: F401  # what tasks need
from starnet_hpc.kernels.half import to_half

to_half(np.zeros(1, dtype=np.float32))
