"""The bits of the catalogue's `flags` column (docs/catalogue.md). 0 is a row without remarks.

Bits 0-15 are for the spectrum and the prediction as a whole, 16-23 for labels outside the trained range; those without
a name, and 24-30, are reserved. Bit 31 is the sign of a 32-bit integer, and is never set.
"""

from enum import IntFlag

from starnet_hpc.labels import ELEMENT_LABELS


class Flag(IntFlag):
    """What a user should know about one row before using it."""

    UNREADABLE = 1 << 0
    """The file of this spectrum could not be used; labels are NaN."""
    BAD_INPUT = 1 << 1
    """The spectrum has no usable pixel, or the network returned no finite number; labels are NaN."""
    PARTIAL_COVERAGE = 1 << 2
    """More than a tenth of the instrument's pixels are missing or masked (training masks at most a tenth)."""
    LOW_SNR = 1 << 3
    """The S/N is below that of the noisiest training spectra."""
    UNKNOWN_SNR = 1 << 4
    """No S/N was given, and none could be estimated."""
    VELOCITY_LIMIT = 1 << 5
    """The velocity that the spectrum was shifted by is near the limit of the search, or more uncertain than the
    residual velocities that were trained on: the networks may have seen it far from rest."""
    LARGE_SIGMA = 1 << 6
    """The sigma of a label is above its limit in `evaluate.sigma_limits`; without limits, never set."""
    LARGE_EPISTEMIC = 1 << 7
    """The members disagree: the epistemic share in the variance of a label is above that of 99 % of the validation
    spectra."""
    UNLIKE_TRAINING = 1 << 8
    """To the members the spectrum looks unlike those they were trained on: its features are farther from theirs than
    those of 99 % of the validation spectra."""
    POOR_FIT = 1 << 9
    """The spectrum that the grid has for the predicted labels leaves more of the observed one than noise and grid leave
    of 99 % of the validation spectra; without `predict.reconstruction`, never set."""
    OUTSIDE_TEFF = 1 << 16
    """The effective temperature is outside the trained range."""
    OUTSIDE_LOGG = 1 << 17
    """log g is outside the trained range."""
    OUTSIDE_FEH = 1 << 18
    """[Fe/H] is outside the trained range."""
    OUTSIDE_AFE = 1 << 19
    """[alpha/Fe] is outside the trained range."""
    OUTSIDE_VSINI = 1 << 20
    """v sin i is outside the trained range."""
    OUTSIDE_VRAD = 1 << 21
    """The radial velocity is outside the trained range."""
    OUTSIDE_ELEMENT = 1 << 22
    """The abundance of a single element is outside the trained range; one bit for all of them."""


def outside(label: str) -> Flag:
    """Return the flag that says that this label is outside the trained range."""
    return Flag.OUTSIDE_ELEMENT if label in ELEMENT_LABELS.values() else Flag[f"OUTSIDE_{label.upper()}"]
