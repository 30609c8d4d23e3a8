"""What few of the validation spectra reach: beyond it, a spectrum is unlike those that the members were trained for.

Validation spectra are of templates that no member was trained on, but of the same grid, noise and instrument. So they
show how much members disagree, and how far from training spectra they place others, where nothing is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.networks import Combined
from starnet_hpc.stores import read_json, write_json

PERCENTILE = 99.0
"""So many validation spectra in a hundred are within each limit."""

Cards = dict[str, tuple[str | int, str]]


@dataclass(frozen=True)
class Limits:
    """Limits that validation spectra set; NaN is no limit."""

    epistemic_share: NDArray[np.float64]
    """Share of the epistemic part in the variance of each label [labels]."""
    distance: float
    """Mean over the members of `FeatureSpace.distance`."""

    @classmethod
    def none(cls, labels: int) -> "Limits":
        """Return no limits."""
        return cls(np.full(labels, np.nan), np.nan)


def epistemic_share(found: Combined) -> NDArray[np.float64]:
    """Return the share of the epistemic part in the variance [rows, labels]."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.square(found.epistemic / found.total))


def find_limits(found: Combined, distance: NDArray[np.float64]) -> Limits:
    """Return the limits from predictions of validation spectra and their distances [rows]."""
    usable = np.isfinite(found.mean).all(axis=1)
    if not usable.any():
        return Limits.none(found.mean.shape[1])
    share, far = (np.percentile(values[usable], PERCENTILE, axis=0) for values in (epistemic_share(found), distance))
    return Limits(share, float(far))


def write_limits(path: Path, limits: Limits, label_names: Sequence[str]) -> None:
    """Keep limits as JSON; no limit is null."""
    share, distance = (
        [None if np.isnan(value) else value for value in np.atleast_1d(values).tolist()]
        for values in (limits.epistemic_share, limits.distance)
    )
    write_json(
        path,
        {
            "labels": list(label_names),
            "percentile": PERCENTILE,
            "epistemic_share": share,
            "feature_distance": distance[0],
        },
    )


def read_limits(path: Path, labels: int) -> Limits:
    """Return kept limits; none where the run has no validation spectra."""
    if not path.exists():
        return Limits.none(labels)
    saved = read_json(path)
    share, distance = (
        np.array(values, dtype=np.float64) for values in (saved["epistemic_share"], saved["feature_distance"])
    )
    return Limits(share, float(distance))


def limits_header(limits: Limits, sigma_limits: Mapping[str, float], label_names: Sequence[str]) -> Cards:
    """Return the header cards that say beyond what rows are flagged; `none` says that they never are."""
    cards: Cards = {"FEATLIM": (_number(limits.distance), "UNLIKE_TRAINING: feature_distance above this")}
    for number, (name, share) in enumerate(zip(label_names, limits.epistemic_share, strict=True), start=1):
        cards[f"EPILIM{number}"] = (_number(share), f"LARGE_EPISTEMIC: ({name}_epistemic/{name}_err_raw)^2 above")
        cards[f"SIGLIM{number}"] = (_number(sigma_limits.get(name, np.nan)), f"LARGE_SIGMA: {name}_err above this")
    return cards


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.6g}"
