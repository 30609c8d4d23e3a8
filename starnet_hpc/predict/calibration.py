"""One factor a label that makes the ensemble's sigma cover: found on validation spectra, applied to everything else.

A network is trained to claim the variance that its residuals have on average, but residuals are not Gaussian: most are
smaller than that, some much larger, so that sigma as claimed holds more than 68 % of them; and the mean of several
members is better than each of them expects of itself. The factor is the 68.27 % quantile of |residual| / sigma, so that
an interval of one sigma is what its name says. Validation templates are not trained on, and test templates are neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.statistics import jackknife_error, one_sigma_factor
from starnet_hpc.stores import read_json, write_json

_LIMITS = (0.2, 5.0)
"""A factor outside says that something else is wrong, which a factor must not paper over."""


@dataclass(frozen=True)
class Calibration:
    """What multiplies the total sigma of each label."""

    factor: NDArray[np.float64]
    """[labels]."""
    error: NDArray[np.float64]
    """Standard error of the factor [labels]; NaN with too few templates to tell."""
    rows: int
    """Validation spectra behind it."""

    @classmethod
    def none(cls, labels: int) -> "Calibration":
        """Return factors of one."""
        return cls(np.ones(labels), np.full(labels, np.nan), 0)


def calibrate(
    mean: NDArray[np.float64], sigma: NDArray[np.float64], truth: NDArray[np.float64], template: NDArray[np.integer]
) -> Calibration:
    """Return the factors that make one sigma hold 68.27 % of the residuals.

    Args:
        mean: predictions [rows, labels].
        sigma: total standard deviations as claimed [rows, labels], > 0.
        truth: labels [rows, labels].
        template: which template each row is of [rows].
    """
    usable = np.isfinite(mean).all(axis=1)
    pull = (truth - mean)[usable] / sigma[usable]
    if pull.shape[0] == 0:
        return Calibration.none(mean.shape[1])
    error = jackknife_error(one_sigma_factor, pull, template[usable])
    return Calibration(np.clip(one_sigma_factor(pull), *_LIMITS), error, int(usable.sum()))


def write_calibration(path: Path, calibration: Calibration, label_names: Sequence[str]) -> None:
    """Keep a calibration as JSON."""
    error = [value if np.isfinite(value) else None for value in calibration.error.tolist()]
    write_json(
        path,
        {
            "labels": list(label_names),
            "factor": calibration.factor.tolist(),
            "factor_error": error,
            "rows": calibration.rows,
        },
    )


def read_calibration(path: Path, labels: int) -> Calibration:
    """Return a kept calibration; factors of one where the run has no validation spectra."""
    if not path.exists():
        return Calibration.none(labels)
    saved = read_json(path)
    error = np.array([np.nan if value is None else value for value in saved["factor_error"]])
    return Calibration(np.array(saved["factor"]), error, int(saved["rows"]))


def calibration_header(calibration: Calibration, label_names: Sequence[str]) -> dict[str, tuple[str | int, str]]:
    """Return the header cards that say what the sigmas were multiplied by."""
    cards: dict[str, tuple[str | int, str]] = {"CALROWS": (calibration.rows, "validation spectra behind the factors")}
    for number, (name, factor) in enumerate(zip(label_names, calibration.factor, strict=True), start=1):
        cards[f"CALFAC{number}"] = (f"{factor:.4f}", f"{name}_err = this x {name}_err_raw")
    return cards
