"""The bits of the catalogue's `flags` column. 0 is a row without remarks; bits 8-15 and 24-31 are reserved."""

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
