"""Tables of the members: where their time went, what validation spectra say of them, and how much they differ."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.inputs import History
from starnet_hpc.evaluate.residuals import LABEL, UNIT
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.evaluate.validations import Validations
from starnet_hpc.statistics import Floats

PHASES = ("data", "forward", "backward", "optimiser", "other")
VALIDATION = "validation"

_SCORES = (
    Column("member", "member"),
    LABEL,
    UNIT,
    Column("nll", "NLL", "Mean of -ln(density) of the standardised label: the loss of training"),
    Column("crps", "CRPS", "Continuous ranked probability score, in the label's unit; smaller is better"),
    Column("median_absolute", "median |Δ|", "Median absolute residual", "median_absolute_error"),
    Column("temperature", "temperature", "Factor on σ with which the likelihood is largest", "temperature_error"),
    Column("one_sigma_factor", "68 % factor", "Factor on σ with which 1σ holds 68.3 %", "one_sigma_factor_error"),
    Column("coverage_68", "within 1σ [%]", "As claimed; 68.3 if sigma is right", "coverage_68_error"),
    Column("coverage_68_tempered", "tempered", "Within 1σ times the temperature", "coverage_68_tempered_error"),
    Column("coverage_95", "within 2σ [%]", "As claimed; 95.4 if sigma is right", "coverage_95_error"),
    Column("coverage_95_tempered", "tempered", "Within 2σ times the temperature", "coverage_95_tempered_error"),
    Column("pit_distance", "PIT distance", "Kolmogorov-Smirnov distance of the PIT from a uniform distribution"),
)


def time_shares(name: str, caption: str, histories: Sequence[History]) -> Table:
    """Return what each member's time went into [%], over all epochs that tell it; validation included."""
    columns = (Column("member"), *(Column(phase) for phase in (*PHASES, VALIDATION)), Column("seconds"))
    rows: list[Row] = []
    for history in histories:
        known = np.isfinite(history["data_share"])
        if not known.any():
            continue
        steps, validation = history["seconds"][known], history["valid_seconds"][known].sum()
        whole = float(steps.sum() + validation)
        row: dict[str, str | int | float] = {"member": str(history.member), "seconds": whole}
        for phase in PHASES:
            row[phase] = 100 * float((history[f"{phase}_share"][known] * steps).sum()) / max(whole, 1e-9)
        rows.append(row | {VALIDATION: 100 * float(validation) / max(whole, 1e-9)})
    return table(name, caption, columns, rows)


def scores(name: str, caption: str, found: Validations) -> Table:
    """Return the scores of each label, of each member and of the ensemble."""
    rows: list[Row] = [
        {"member": member, "label": label, "unit": words.unit(label)}
        | {column: _number(of[column]) for shown in _SCORES[3:] for column in (shown.name, shown.error) if column}
        for label in _labels(found)
        for member, scores in found.scores.items()
        if (of := scores.get(label)) is not None
    ]
    return table(name, caption, _SCORES, rows)


def pit(name: str, caption: str, found: Validations) -> Table:
    """Return the share of truths [%] in each equal part of their predicted distributions."""
    columns = (Column("member"), LABEL, *(Column(key) for key in ("low", "high", "percent")))
    rows: list[Row] = []
    for member, scores in found.scores.items():
        for label, of in scores.items():
            edges = np.linspace(0, 1, len(of["pit"]) + 1)
            rows += [
                {"member": member, "label": label, "low": float(low), "high": float(high), "percent": 100 * share}
                for low, high, share in zip(edges, edges[1:], of["pit"], strict=False)
            ]
    return table(name, caption, columns, rows)


def are_several(found: Mapping[str, Any]) -> bool:
    """Whether there are two members that could differ."""
    return any(len(of["distance"]) > 1 for of in found["labels"].values())


def diversity(name: str, caption: str, found: Mapping[str, Any]) -> Table:
    """Return how much members differ in each label, over all pairs."""
    columns = (
        LABEL,
        Column("epistemic_share", "epistemic [%]", "Mean share of the epistemic part in the variance"),
        Column("correlation", "correlation", "Of the residuals of two members, mean over pairs"),
        Column("correlation_largest", "most alike", "Of the pair whose residuals are most alike"),
        Column("distance", "distance [σ]", "Mean distance of two members' answers in claimed sigma, mean over pairs"),
        Column("distance_smallest", "closest", "Of the pair whose answers are closest"),
    )
    rows: list[Row] = []
    for label, of in found["labels"].items():
        correlation, distance = _pairs(of["correlation"]), _pairs(of["distance"])
        rows.append(
            {
                "label": label,
                "epistemic_share": 100 * float(of["epistemic_share"]),
                "correlation": float(correlation.mean()),
                "correlation_largest": float(correlation.max()),
                "distance": float(distance.mean()),
                "distance_smallest": float(distance.min()),
            }
        )
    return table(name, caption, columns, rows)


def pairs(name: str, caption: str, found: Mapping[str, Any]) -> Table:
    """Return the mean distance of the answers of each pair of members, in claimed sigma, label by label."""
    labels = list(found["labels"])
    columns = [Column("first", "member"), Column("second", "and member")]
    columns += [Column(f"distance_{label}", words.plain(label)) for label in labels]
    columns += [Column(f"correlation_{label}") for label in labels]
    each = {
        f"{key}_{label}": _pairs(found["labels"][label][key]) for key in ("distance", "correlation") for label in labels
    }
    members = len(found["labels"][labels[0]]["distance"])
    rows: list[Row] = [
        {"first": a, "second": b} | {column: float(values[k]) for column, values in each.items()}
        for k, (a, b) in enumerate(combinations(range(members), 2))
    ]
    return table(name, caption, columns, rows)


def _labels(found: Validations) -> list[str]:
    return list(dict.fromkeys(label for scores in found.scores.values() for label in scores))


def _pairs(matrix: Sequence[Sequence[float]]) -> Floats:
    """Return the values above the diagonal, pair by pair."""
    values: NDArray[np.float64] = np.array(matrix, dtype=np.float64)
    return values[np.triu_indices(values.shape[0], 1)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
