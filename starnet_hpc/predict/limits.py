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
from starnet_hpc.predict.reconstruction import Usual
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
    usual: Usual
    """What reconstructions leave."""

    @classmethod
    def none(cls, labels: int) -> "Limits":
        """Return no limits."""
        return cls(np.full(labels, np.nan), np.nan, Usual.unknown())


def epistemic_share(found: Combined) -> NDArray[np.float64]:
    """Return the share of the epistemic part in the variance [rows, labels]."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.square(found.epistemic / found.total))


def find_limits(found: Combined, distance: NDArray[np.float64], usual: Usual) -> Limits:
    """Return the limits from predictions of validation spectra, their distances [rows], and what is usually left."""
    usable = np.isfinite(found.mean).all(axis=1)
    if not usable.any():
        return Limits.none(found.mean.shape[1])
    share, far = (np.percentile(values[usable], PERCENTILE, axis=0) for values in (epistemic_share(found), distance))
    return Limits(share, float(far), usual)


def write_limits(path: Path, limits: Limits, label_names: Sequence[str]) -> None:
    """Keep limits as JSON; no limit is null."""
    usual = limits.usual
    share, distance, lines, misfit = (
        [None if np.isnan(value) else value for value in np.atleast_1d(values).tolist()]
        for values in (limits.epistemic_share, limits.distance, usual.line_share, usual.limit)
    )
    write_json(
        path,
        {
            "labels": list(label_names),
            "percentile": PERCENTILE,
            "epistemic_share": share,
            "feature_distance": distance[0],
            "line_share": lines[0],
            "misfit": misfit[0],
        },
    )


def read_limits(path: Path, labels: int) -> Limits:
    """Return kept limits; none where the run has no validation spectra."""
    if not path.exists():
        return Limits.none(labels)
    saved = read_json(path)
    share, distance, lines, misfit = (
        np.array(saved.get(name), dtype=np.float64)  # JSON's null is NaN
        for name in ("epistemic_share", "feature_distance", "line_share", "misfit")
    )
    return Limits(share, float(distance), Usual(float(lines), float(misfit)))


def limits_header(limits: Limits, sigma_limits: Mapping[str, float], label_names: Sequence[str]) -> Cards:
    """Return the header cards that say beyond what rows are flagged; `none` says that they never are."""
    cards: Cards = {"FEATLIM": (_number(limits.distance), "UNLIKE_TRAINING: feature_distance above this")}
    if not np.isnan(limits.usual.limit):
        cards["MISLIM"] = (_number(limits.usual.limit), "POOR_FIT: misfit above this")
        cards["MISLINES"] = (_number(limits.usual.line_share), "share of the lines that is usually left")
    for number, (name, share) in enumerate(zip(label_names, limits.epistemic_share, strict=True), start=1):
        cards[f"EPILIM{number}"] = (_number(share), f"LARGE_EPISTEMIC: ({name}_epistemic/{name}_err_raw)^2 above")
        cards[f"SIGLIM{number}"] = (_number(sigma_limits.get(name, np.nan)), f"LARGE_SIGMA: {name}_err above this")
    return cards


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.6g}"
