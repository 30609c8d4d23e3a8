"""Factors that make the ensemble's sigma cover at every S/N: found on validation spectra, applied to everything else.

A network is trained to claim the variance that its residuals have on average, but residuals are not Gaussian: most are
smaller than that, some much larger, so that sigma as claimed holds more than 68 % of them; and the mean of several
members is better than each of them expects of itself. Both depend on the noise: with one factor a label, 55 to 66 % of
the truths were within one sigma at S/N below 20, and 70 to 81 % above 80 (`configs/reference_mgb.yaml`). So the factor
is the 68.27 % quantile of |residual| / sigma among validation spectra of about the same S/N: an interval of one sigma
is then what its name says. Validation templates are not trained on, and test templates are neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.statistics import jackknife_error, one_sigma_factor
from starnet_hpc.stores import read_json, write_json

_LIMITS = (0.2, 5.0)
"""A factor outside says that something else is wrong, which a factor must not paper over."""


_MOST_BINS, _FEWEST_IN_BIN = 8, 250
"""Bins of S/N; 250 spectra tell a factor to some 5 %."""


@dataclass(frozen=True)
class Calibration:
    """What multiplies the total sigma of each label."""

    snr: NDArray[np.float64]
    """S/N a pixel, increasing, for which there are factors [bins]; none where validation spectra are too few."""
    factor: NDArray[np.float64]
    """[bins, labels]."""
    error: NDArray[np.float64]
    """Standard error of the factor [bins, labels]; NaN with too few templates to tell."""
    overall: NDArray[np.float64]
    """Of all validation spectra together [labels], for spectra whose S/N nobody knows."""
    overall_error: NDArray[np.float64]
    """[labels]."""
    rows: int
    """Validation spectra behind it."""

    @classmethod
    def none(cls, labels: int) -> "Calibration":
        """Return factors of one."""
        nothing = np.empty((0, labels))
        return cls(np.empty(0), nothing, nothing, np.ones(labels), np.full(labels, np.nan), 0)

    def at(self, snr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factors [rows, labels] for spectra of some S/N a pixel [rows].

        Their logarithms are interpolated in that of the S/N, and constant beyond the first and the last bin.
        """
        out = np.tile(self.overall, (snr.size, 1))
        known = snr > 0.0  # and no NaN
        if self.snr.size:
            place, knots = np.log(snr[known]), np.log(self.snr)
            for label, factor in enumerate(np.log(self.factor).T):
                out[known, label] = np.exp(np.interp(place, knots, factor))
        return out


def calibrate(
    mean: NDArray[np.float64],
    sigma: NDArray[np.float64],
    truth: NDArray[np.float64],
    snr: NDArray[np.float64],
    template: NDArray[np.integer],
) -> Calibration:
    """Return the factors that make one sigma hold 68.27 % of the residuals.

    Args:
        mean: predictions [rows, labels].
        sigma: total standard deviations as claimed [rows, labels], > 0.
        truth: labels [rows, labels].
        snr: signal-to-noise ratio a pixel [rows]; infinite without noise.
        template: which template each row is of [rows].
    """
    usable = np.isfinite(mean).all(axis=1)
    pull, snr, template = (truth - mean)[usable] / sigma[usable], snr[usable], template[usable]
    if pull.shape[0] == 0:
        return Calibration.none(mean.shape[1])
    known = np.flatnonzero(snr > 0.0)
    bins = np.array_split(
        known[np.argsort(snr[known], kind="stable")], min(_MOST_BINS, known.size // _FEWEST_IN_BIN) or 1
    )
    knots = np.array([np.median(snr[part]) if part.size else np.nan for part in bins])
    if known.size < _FEWEST_IN_BIN or not (np.isfinite(knots).all() and (np.diff(knots) > 0.0).all()):
        bins, knots = [], np.empty(0)
    found = [_factor(pull[part], template[part]) for part in [np.arange(len(pull)), *bins]]
    factor, error = (np.stack(parts) for parts in zip(*found, strict=True))
    return Calibration(knots, factor[1:], error[1:], factor[0], error[0], len(pull))


def _factor(
    pull: NDArray[np.float64], template: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the factor of each label and its standard error [labels]."""
    return np.clip(one_sigma_factor(pull), *_LIMITS), jackknife_error(one_sigma_factor, pull, template)


def write_calibration(path: Path, calibration: Calibration, label_names: Sequence[str]) -> None:
    """Keep a calibration as JSON; an error that is not known is null."""
    write_json(
        path,
        {
            "labels": list(label_names),
            "snr": calibration.snr.tolist(),
            "factor": calibration.factor.tolist(),
            "factor_error": _nulled(calibration.error),
            "overall": calibration.overall.tolist(),
            "overall_error": _nulled(calibration.overall_error),
            "rows": calibration.rows,
        },
    )


def read_calibration(path: Path, labels: int) -> Calibration:
    """Return a kept calibration; factors of one where the run has no validation spectra.

    Raises:
        StoreDamagedError: an earlier version wrote it, with one factor a label.
    """
    if not path.exists():
        return Calibration.none(labels)
    saved = read_json(path)
    if "overall" not in saved:
        raise StoreDamagedError(f"{path}: of an earlier version; remove it, and run `starnet-hpc predict CONFIG` again")
    factor, error = (np.array(saved[key], dtype=np.float64).reshape(-1, labels) for key in ("factor", "factor_error"))
    overall, overall_error = (np.array(saved[key], dtype=np.float64) for key in ("overall", "overall_error"))
    return Calibration(np.array(saved["snr"], dtype=np.float64), factor, error, overall, overall_error, saved["rows"])


def calibration_header(calibration: Calibration, label_names: Sequence[str]) -> dict[str, tuple[str | int, str]]:
    """Return the header cards that say what the sigmas were multiplied by."""
    cards: dict[str, tuple[str | int, str]] = {
        "CALROWS": (calibration.rows, "validation spectra behind the factors"),
        "CALSNR": (_listed(calibration.snr, ".4g"), "S/N a pixel of the factors; ln-ln between"),
    }
    for number, name in enumerate(label_names):
        factors = calibration.factor[:, number]
        cards[f"CALFAC{number + 1}"] = (_listed(factors, ".4f"), f"{name}_err / {name}_err_raw at these")
        cards[f"CALALL{number + 1}"] = (f"{calibration.overall[number]:.4f}", f"{name}: where S/N is unknown")
    return cards


def _nulled(values: NDArray[np.float64]) -> list[object]:
    """Return nested lists with None for NaN, which JSON does not know."""
    return [_nulled(row) if row.ndim else None if np.isnan(row) else float(row) for row in values]


def _listed(values: NDArray[np.float64], form: str) -> str:
    return " ".join(f"{value:{form}}" for value in values) or "none"
