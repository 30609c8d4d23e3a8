"""What a stretch of wavelengths, a resolution and a kind of training cannot give, whatever the residuals say."""

from collections.abc import Sequence

from starnet_hpc.evaluate import words
from starnet_hpc.instruments import C_KMS

BALMER = {"Hα": 6562.80, "Hβ": 4861.33, "Hγ": 4340.47, "Hδ": 4101.74}
"""Centres of the lines [angstrom, air] whose wings tell the temperature."""
PRESSURE = {
    "Mg b 5167": 5167.32,
    "Mg b 5173": 5172.68,
    "Mg b 5184": 5183.60,
    "Ca I 6162": 6162.17,
    "Na D 5890": 5889.95,
    "Na D 5896": 5895.92,
    "Ca II 8542": 8542.09,
    "Ca II 8662": 8662.14,
}
"""Centres of strong lines [angstrom, air] whose wings tell the pressure, hence log g, of cool stars."""
SHORT_RANGE = 100.0
"""With less than this [angstrom], single lines carry the abundances."""


def of_wavelengths(
    low: float, high: float, labels: Sequence[str], feh_low: float, gaps: Sequence[tuple[float, float]] = ()
) -> list[str]:
    """Return sentences on what the range cannot give.

    Args:
        low: first wavelength [angstrom, air].
        high: last wavelength [angstrom, air].
        labels: what is predicted.
        feh_low: lowest trained [Fe/H] [dex]; NaN if there is none.
        gaps: stretches without pixels in between [angstrom].
    """
    sentences = []
    if "teff" in labels and not _inside(BALMER, low, high, gaps):
        who = "metal-poor stars" if feh_low < -1.0 else "stars with few metal lines"
        sentences.append(
            f"No Balmer line lies in {low:.0f}–{high:.0f} Å: Teff and log g of {who} hang on few, weak lines and on "
            f"whether they were computed in LTE; expect larger errors on real spectra than on synthetic ones."
        )
    if "logg" in labels and not _inside(PRESSURE, low, high, gaps):
        sentences.append(
            "No strong line with pressure-broadened wings (Mg b, Ca I 6162, Na D, Ca II triplet) is in the range: "
            "log g rests on the ionisation balance alone."
        )
    covered = high - low - sum(end - start for start, end in gaps)
    if covered < SHORT_RANGE:
        sentences.append(
            f"{covered:.0f} Å is a short range: a single blend or detector defect weighs much, and [α/Fe] is in truth "
            f"the abundance of the few elements with lines in it."
        )
    return sentences


def of_resolution(lowest: float, highest: float, labels: Sequence[str]) -> list[str]:
    """Return a sentence on the slowest rotation that can be told from none, for lambda / FWHM between these."""
    if "vsini" not in labels:
        return []
    widest, narrowest = f"{C_KMS / lowest:.1f}", f"{C_KMS / highest:.1f}"
    width = narrowest if widest == narrowest else f"{narrowest} to {widest}"
    where = "" if widest == narrowest else " at best"
    sentence = (
        f"At {words.resolution(lowest, highest)} a line is {width} km/s wide: v sin i below about "
        f"{C_KMS / highest / 2:.1f} km/s{where} cannot be told from no rotation (and macroturbulence counts as "
        f"rotation)."
    )
    return [sentence]


def of_synthetic_tests() -> list[str]:
    """Return what a test on spectra of the training grid leaves open."""
    sentence = (
        "Residuals and coverage of held-out spectra are for the same synthetic grid that was trained on. How far real "
        "stars differ from that grid is not in them, nor in the predicted sigmas; benchmark stars are the test of that."
    )
    return [sentence]


def lines_inside(low: float, high: float, gaps: Sequence[tuple[float, float]] = ()) -> list[str]:
    """Return the names of the Balmer and pressure-sensitive lines in a range [angstrom, air]."""
    return _inside(BALMER | PRESSURE, low, high, gaps)


def _inside(lines: dict[str, float], low: float, high: float, gaps: Sequence[tuple[float, float]]) -> list[str]:
    hidden = [name for name, at in lines.items() if any(start < at < end for start, end in gaps)]
    return [name for name, at in lines.items() if low < at < high and name not in hidden]
