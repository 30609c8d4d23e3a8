"""What validation spectra say of the whole ensemble, and of how much its members differ.

The epistemic part of sigma is the spread of the members' answers. It tells of ignorance only as far as members could
come to different answers: an ensemble of equals would claim to know more than it does.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.networks import Combined, TrainedOn
from starnet_hpc.networks.validation import CONVENTIONS, Judged, label_scores
from starnet_hpc.statistics import Floats

NEARLY_SAME = 0.05
"""Members whose answers are closer than this many claimed sigma, in every label, count as nearly the same: the spread
of two answers that far apart adds about 0.1 % to a variance."""


def ensemble_report(
    means: NDArray[np.floating[Any]],
    ensemble: Combined,
    truth: Floats,
    template: NDArray[np.integer[Any]],
    trained_on: TrainedOn,
) -> dict[str, Any]:
    """Return the scores of the ensemble, as those of its members in their `validation.json`, and their diversity.

    Args:
        means: answer of each member [members, rows, labels].
        ensemble: answer of all of them together.
        truth: labels [rows, labels].
        template: which template each row is of [rows].
        trained_on: what the members were trained on.
    """
    names = trained_on.label_names
    usable = np.isfinite(ensemble.mean).all(axis=1)
    found: dict[str, Any] = {"rows": int(usable.sum()), "conventions": CONVENTIONS, "labels": {}}
    if not usable.any():
        return found
    means, truth = means[:, usable], truth[usable]
    ensemble = Combined(ensemble.mean[usable], ensemble.aleatoric[usable], ensemble.epistemic[usable])
    judged = Judged(ensemble.mean, ensemble.total, truth, template[usable])
    surprise = np.log(ensemble.total / trained_on.scale.std) + 0.5 * np.square(judged.pull)
    return found | {
        "nll": float(surprise.mean()),
        "labels": label_scores(names, judged, surprise),
        "diversity": diversity(means, ensemble, truth, names),
    }


def diversity(
    means: NDArray[np.floating[Any]], ensemble: Combined, truth: Floats, names: Sequence[str]
) -> dict[str, Any]:
    """Return how much members differ on spectra whose labels are known, as plain values.

    Args:
        means: answer of each member [members, rows, labels], all finite.
        ensemble: answer of all of them together.
        truth: labels [rows, labels].
        names: of the labels.

    Returns:
        `nearly_same`, pairs of members that are; and for each label under `labels`: `epistemic_share`, the mean share
        of the epistemic part in the variance; `correlation` [members][members] of residuals, each in units of the
        sigma that members claim (the aleatoric one); `distance` [members][members], the mean distance of two members'
        answers in these units.
    """
    members = means.shape[0]
    # Not the total sigma: it is large where members differ, and would make little of that.
    pulls = (means - truth) / ensemble.aleatoric
    distance = np.zeros((len(names), members, members))
    for a, b in combinations(range(members), 2):
        distance[:, a, b] = distance[:, b, a] = np.abs(pulls[a] - pulls[b]).mean(axis=0)
    share = np.mean((ensemble.epistemic / ensemble.total) ** 2, axis=0)
    correlation = _correlation(pulls)
    labels = {
        name: {
            "epistemic_share": float(share[k]),
            "correlation": correlation[k].tolist(),
            "distance": distance[k].tolist(),
        }
        for k, name in enumerate(names)
    }
    same = [[a, b] for a, b in combinations(range(members), 2) if (distance[:, a, b] < NEARLY_SAME).all()]
    return {"nearly_same": same, "labels": labels}


def _correlation(pulls: Floats) -> Floats:
    """Return the correlations [labels, members, members] of pulls [members, rows, labels]; 0 where nothing varies."""
    apart = pulls - pulls.mean(axis=1, keepdims=True)
    products = np.einsum("arl,brl->lab", apart, apart)
    size = np.sqrt(np.einsum("laa->la", products))
    scale = size[:, :, None] * size[:, None, :]
    return np.asarray(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0))
