"""Labels on the scale that networks work on, and the way back to physical units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelScale:
    """Standardisation of labels: (label - mean) / std, with the statistics of the training store."""

    mean: NDArray[np.float64]
    """[labels], physical units."""
    std: NDArray[np.float64]
    """[labels], physical units, > 0."""
    names: tuple[str, ...] | None = None
    """Labels that these are; None: all that a store has, in its order."""

    def standardised(self, labels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return standardised labels [n, labels]."""
        return ((labels - self.mean) / self.std).astype(np.float32)

    def physical(
        self, mean: NDArray[np.floating], variance: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance [n, labels] in physical units, float64: a variance scales with std squared."""
        wide = np.asarray(mean, dtype=np.float64)
        return wide * self.std + self.mean, np.asarray(variance, dtype=np.float64) * self.std**2
