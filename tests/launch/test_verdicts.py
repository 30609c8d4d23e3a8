"""What people are told of one spectrum."""

import math

import pytest

from starnet_hpc.flags import Flag
from starnet_hpc.launch.verdicts import verdict, verdict_line

VALUES = {"teff": 5771.3, "teff_err": 44.7, "feh": -0.021, "feh_err": 0.03, "vrad": 12.34, "vrad_err": 0.256}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, "fine"),
        (Flag.LOW_SNR, "distrust: S/N below that of the noisiest training spectra"),
        (
            Flag.OUTSIDE_TEFF | Flag.PARTIAL_COVERAGE,
            "distrust: more than a tenth of the pixels missing or masked; Teff outside the trained range",
        ),
        (Flag.UNREADABLE | Flag.BAD_INPUT, "no labels: the file could not be used"),
        (Flag.BAD_INPUT, "no labels: no usable pixel, or no finite output"),
    ],
)
def test_flags_become_words(flags: int, said: str) -> None:
    assert verdict(flags) == said


def test_every_flag_has_words() -> None:
    for flag in Flag:
        assert len(verdict(flag)) > len("no labels: ")
        assert "\n" not in verdict(flag)


def test_a_line_has_name_noise_labels_and_verdict() -> None:
    line = verdict_line("star", list(VALUES)[::2], VALUES, snr=83.4, flags=0, remark="")
    assert line == "star  S/N 83  Teff 5771 ± 45 K, [Fe/H] −0.021 ± 0.030, v rad 12.34 ± 0.26 km/s  fine"
    line = verdict_line("star", ["teff"], VALUES, snr=math.nan, flags=Flag.UNKNOWN_SNR, remark="")
    assert line == "star  S/N unknown  Teff 5771 ± 45 K  distrust: no S/N given, and none could be estimated"


def test_a_spectrum_without_labels_says_why_in_one_line() -> None:
    values = dict.fromkeys(VALUES, math.nan)
    line = verdict_line("a\nb", ["teff"], values, snr=math.nan, flags=Flag.UNREADABLE, remark="a.fits: is\ntruncated")
    assert line == r"a\nb  no labels: a.fits: is\ntruncated"
    line = verdict_line("a", ["teff"], values, snr=math.nan, flags=Flag.BAD_INPUT, remark="")
    assert line == "a  no labels: no usable pixel, or no finite output"
