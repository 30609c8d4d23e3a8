"""What the store of observed spectra says of itself."""

from starnet_hpc.flags import Flag
from starnet_hpc.stores import Layout, readme

_FLAGS = (Flag.UNREADABLE, Flag.BAD_INPUT, Flag.PARTIAL_COVERAGE, Flag.UNKNOWN_SNR)
"""Those that this stage may set."""
_LABELS = "labels in the order of the attribute `label_names`"
_ARRAYS = {
    "wavelength": "[pixels] centres of the instrument's pixels, angstrom in air",
    "flux": "[rows, pixels] flux over continuum, on the pixels and with the method of the training spectra; 0 where a "
    "pixel is masked",
    "id": "[rows] unique name of the spectrum",
    "group": "[rows] group (cluster, class of star) that the user's manifest gives, or nothing",
    "source": "[rows] name of the file",
    "reference": f"[rows, labels] values of the literature, from the manifest; NaN where unknown; {_LABELS}",
    "reference_error": "[rows, labels] their standard deviations",
    "snr": "[rows] signal-to-noise ratio a pixel, NaN where unknown",
    "flags": "[rows] sum of " + ", ".join(f"{flag.value} {flag.name}" for flag in _FLAGS),
    "masked_fraction": "[rows] share of the pixels outside telluric windows that are masked",
    "cosmics": "[rows] observed pixels within the instrument's range that cosmic particles spoilt",
    "frame": "[rows] velocity frame of the wavelengths, rest or barycentric",
    "remark": "[rows] what was odd with the file, or nothing",
}


def survey_readme(layout: Layout, snr: str) -> str:
    """Return the text for `survey.zarr`, with the definition of its signal-to-noise ratio."""
    what = "observed spectra, one row a file, as the network was trained to see them."
    return readme("survey.zarr", layout, what=what, made_by="observe", arrays=_ARRAYS, snr=snr)
