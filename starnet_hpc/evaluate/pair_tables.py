"""Tables of two runs side by side; ratios are those of the second run over the first."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import benchmarks, calibration, coverage, words
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.pairs import Common, Pair
from starnet_hpc.evaluate.residuals import COUNT, FEWEST, LABEL, SNR, UNIT
from starnet_hpc.evaluate.sample import ALL, Sample, SnrBin, groups_by_snr
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import (
    NOTHING,
    Clusters,
    Estimate,
    Floats,
    crps_of_each,
    jackknife_error,
    mean,
    median,
    robust_std,
    share,
)

SIGNIFICANT = 3.0
"""Standard errors by which two runs must differ to be called different."""
_MOST_STARS = 25
_Values = Callable[[Sample, NDArray[np.bool_]], Floats]
_Middle = Callable[[Floats, Clusters], Estimate]

QUANTITIES = {"residual": "median |Δ|", "sigma": "median σ", "crps": "CRPS"}
"""What is compared in S/N bins; of each, smaller is better where sigmas are honest."""


def ratios(name: str, caption: str, pair: Pair, bins: tuple[SnrBin, ...]) -> Table:
    """Return residuals, sigmas and CRPS of both runs and their ratios, a label and S/N bin, all rows last."""
    first, second = pair.names
    columns = [LABEL, UNIT, SNR]
    for key, title in QUANTITIES.items():
        columns += [
            Column(f"{key}_first", f"{title}: {first}", error=f"{key}_first_error"),
            Column(f"{key}_second", second, error=f"{key}_second_error"),
            Column(f"{key}_ratio", "ratio", f"{second} over {first}", f"{key}_ratio_error"),
        ]
    columns += [Column("n_first", f"N: {first}"), Column("n_second", second)]
    rows = [
        {"label": label, "unit": words.unit(label), "snr": snr, **_compared(pair, label, mine, theirs)}
        for label in pair.labels
        for snr, mine, theirs in _groups(pair, bins)
    ]
    return table(name, caption, columns, rows)


def honesty(name: str, caption: str, pair: Pair, bins: tuple[SnrBin, ...]) -> Table:
    """Return the coverage of one and two sigma, and the distance of the PIT from a uniform one, of both runs."""
    first, second = pair.names
    columns = [LABEL, SNR]
    for key, title in (
        ("coverage_68", "within 1σ [%]"),
        ("coverage_95", "within 2σ [%]"),
        ("pit_distance", "PIT distance"),
    ):
        columns += [
            Column(f"{key}_first", f"{title}: {first}", error=f"{key}_first_error"),
            Column(f"{key}_second", second, error=f"{key}_second_error"),
        ]
    rows: list[Row] = []
    samples = [run.test.sample for run in pair.runs]
    found = [(coverage.by_snr("", "", s, bins), calibration.scores("", "", s, bins)) for s in samples]
    for label in pair.labels:
        for snr in found[0][0].distinct("snr"):
            row: dict[str, Value] = {"label": label, "snr": snr}
            for which, tables in zip(("first", "second"), found, strict=True):
                all_of = {key: v for t in tables for key, v in (t.first(label=label, snr=snr) or {}).items()}
                for key in ("coverage_68", "coverage_95", "pit_distance"):
                    row[f"{key}_{which}"] = all_of.get(key, np.nan)
                    row[f"{key}_{which}_error"] = all_of.get(f"{key}_error", np.nan)
            rows.append(row)
    return table(name, caption, columns, rows)


def curves(name: str, caption: str, pair: Pair) -> Table:
    """Return the coverage of intervals of every size of both runs, all S/N together."""
    columns = (Column("run"), LABEL, Column("nominal"), Column("excess", error="coverage_error"), COUNT)
    rows: list[Row] = []
    for run, inputs in zip(pair.names, pair.runs, strict=True):
        found = calibration.curve(name, caption, inputs.test.sample, ())
        rows += [{"run": run, **row} for row in found.rows if row["snr"] == ALL and row["label"] in pair.labels]
    return table(name, caption, columns, rows)


def benchmark_stars(name: str, caption: str, pair: Pair, which: int) -> Table | None:
    """Return the benchmark stars of both runs (0: star by star; 1: by kind), the run first; None unless both have some.

    Each run compares the stars that are in its own trained ranges (paper, Tables 2 and B1).
    """
    rows: list[Row] = []
    columns: tuple[Column, ...] = ()
    for run, inputs in zip(pair.names, pair.runs, strict=True):
        if inputs.survey is None or not inputs.survey.benchmarks.any():
            return None
        found = benchmarks.of_survey(inputs, inputs.survey)[which]
        columns = found.columns
        rows += [{"run": run, **row} for row in found.rows if row["label"] in pair.labels]
    return table(name, caption, (Column("run", "run"), *columns), rows)


def survey(name: str, caption: str, common: Common) -> Table:
    """Return by how much the labels of stars in common differ: second run less first, and in combined sigmas."""
    columns = (
        LABEL,
        UNIT,
        Column("median", "median Δ", "Median of second less first run", "median_error"),
        Column("robust_std", "robust σ", "1.4826 x median absolute deviation", "robust_std_error"),
        Column("pull_mean", "pull mean", "Mean of Δ over both sigmas combined", "pull_mean_error"),
        Column("pull_robust_std", "pull scatter", "1 if independent errors are as predicted", "pull_robust_std_error"),
        Column("far", "beyond 3σ [%]", "Share of stars that differ by more than 3 combined sigmas", "far_error"),
        COUNT,
        Column("n_one", "in one only", "Stars with a usable label from one of the runs only"),
    )
    rows: list[Row] = []
    for label in common.sample.predicted:
        chosen = common.sample.usable(label)
        known = common.sample.known(label) | common.sample.predicted[label].usable
        difference, pull = common.sample.residual(label, chosen), coverage.pulls(common.sample, label, chosen)
        row: dict[str, Value] = {"label": label, "unit": words.unit(label), "n": int(chosen.sum())}
        row["n_one"] = int((known & ~chosen).sum())
        for key, estimate in {
            "median": median(difference),
            "robust_std": robust_std(difference),
            "pull_mean": mean(pull),
            "pull_robust_std": robust_std(pull),
            "far": share(np.abs(pull) > SIGNIFICANT),
        }.items():
            row |= {key: estimate.value, f"{key}_error": estimate.error}
        rows.append(row)
    return table(name, caption, columns, rows)


def farthest(name: str, caption: str, pair: Pair, common: Common) -> Table:
    """Return the stars and labels in which the two runs differ most, in combined sigmas."""
    first, second = pair.names
    columns = (
        Column("id", "star"),
        LABEL,
        UNIT,
        SNR,
        Column("first", first, error="first_error"),
        Column("second", second, error="second_error"),
        Column("pull", "Δ / σ", "Second less first, over both sigmas combined"),
    )
    rows: list[Row] = []
    for label in common.sample.predicted:
        at = np.flatnonzero(common.sample.usable(label))
        chosen = common.sample.usable(label)
        pull = coverage.pulls(common.sample, label, chosen)
        for k in np.argsort(-np.abs(pull), kind="stable")[:_MOST_STARS]:
            star, predicted = at[k], common.sample.predicted[label]
            row: dict[str, Value] = {"id": str(common.ids[star]), "label": label, "unit": words.unit(label)}
            row |= {"snr": float(common.sample.snr[star]), "pull": float(pull[k])}
            row |= {"second": float(predicted.value[star]), "second_error": float(predicted.sigma[star])}
            row |= {"first": float(common.sample.truth[label][star])}
            rows.append(row | {"first_error": float(common.sample.truth_error[label][star])})
    rows.sort(key=lambda row: -abs(float(row["pull"])))
    return table(name, caption, columns, rows[:_MOST_STARS])


def costs(name: str, caption: str, pair: Pair) -> Table:
    """Return what both trainings took, and what of."""
    first, second = pair.names
    columns = (
        Column("quantity", "quantity"),
        Column("unit", "unit"),
        Column("first", first),
        Column("second", second),
        Column("ratio", "ratio", f"{second} over {first}"),
    )
    kinds: dict[tuple[str, str], Callable[[Inputs], float]] = {
        ("training spectra", ""): lambda run: run.training.spectra,
        ("templates", ""): lambda run: run.training.templates,
        ("pixels", ""): lambda run: run.test.store.wavelength.size,
        ("members", ""): lambda run: run.config.ensemble.members,
        ("epochs of a member, mean", ""): lambda run: float(np.mean([h["epoch"].size for h in run.histories])),
        ("training and validation of all members", "h"): hours,
        ("spectra a second, median over epochs", "1/s"): lambda run: _middle(run, "spectra_per_s"),
        ("smallest validation loss, mean over members", ""): _loss,
        ("memory of a process, largest", "GB"): lambda run: _largest(run, "host_gb"),
        ("memory of the GPU, largest", "GB"): lambda run: _largest(run, "gpu_gb"),
    }
    rows: list[Row] = []
    for (quantity, unit), of in kinds.items():
        one, other = of(pair.first), of(pair.second)
        ratio = other / one if one > 0 and other > 0 else np.nan
        rows.append({"quantity": quantity, "unit": unit, "first": one, "second": other, "ratio": ratio})
    return table(name, caption, columns, rows)


def settings(name: str, caption: str, pair: Pair) -> Table:
    """Return the keys of the configuration in which the two runs differ."""
    columns = (Column("key", "key"), Column("first", pair.names[0]), Column("second", pair.names[1]))
    rows = [{"key": key, "first": one, "second": other} for key, one, other in pair.configurations()]
    return table(name, caption, columns, rows)


def hours(run: Inputs) -> float:
    """Return the time that training all members took, one after the other [h]."""
    return float(sum(np.nansum(h["seconds"]) + np.nansum(h["valid_seconds"]) for h in run.histories)) / 3600


def _groups(pair: Pair, bins: tuple[SnrBin, ...]) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield name and rows of every S/N bin in both runs' held-out spectra."""
    theirs = dict(groups_by_snr(pair.second.test.sample.snr, bins))
    for snr, mine in groups_by_snr(pair.first.test.sample.snr, bins):
        if snr in theirs:
            yield snr, mine, theirs[snr]


def _compared(pair: Pair, label: str, mine: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> dict[str, Value]:
    first, second = (run.test.sample for run in pair.runs)
    mine, theirs = mine & first.usable(label), theirs & second.usable(label)
    if pair.same_spectra:
        mine = theirs = mine & theirs
    row: dict[str, Value] = {"n_first": int(mine.sum()), "n_second": int(theirs.sum())}
    measures: dict[str, tuple[_Values, _Middle]] = {
        "residual": (lambda sample, rows: np.abs(sample.residual(label, rows)), median),
        "sigma": (lambda sample, rows: sample.predicted[label].sigma[rows], median),
        "crps": (lambda sample, rows: _crps(sample, label, rows), mean),
    }
    for key, (values, middle) in measures.items():
        one, other = values(first, mine), values(second, theirs)
        clusters = first.clusters_of(mine), second.clusters_of(theirs)
        for which, estimate in zip(
            ("first", "second", "ratio"), _ratio(one, other, middle, clusters, paired=pair.same_spectra), strict=True
        ):
            row |= {f"{key}_{which}": estimate.value, f"{key}_{which}_error": estimate.error}
    return row


def _crps(sample: Sample, label: str, rows: NDArray[np.bool_]) -> Floats:
    return crps_of_each(coverage.pulls(sample, label, rows), sample.combined_sigma(label, rows))


def _ratio(
    one: Floats,
    other: Floats,
    middle: _Middle,
    clusters: tuple[Clusters, Clusters],
    *,
    paired: bool,
) -> tuple[Estimate, Estimate, Estimate]:
    """Return what is typical of both, and the ratio of other over one.

    Of the same spectra both runs' errors have a common part, which a ratio does not; its error is then that of a
    jackknife over templates, and else that of independent numbers.
    """
    if min(one.size, other.size) < FEWEST:
        return NOTHING, NOTHING, NOTHING
    first, second = middle(one, clusters[0]), middle(other, clusters[1])
    if not first.value > 0:
        return first, second, NOTHING
    ratio = second.value / first.value
    error = np.nan
    if paired and clusters[0] is not None:

        def again(both: Floats) -> Floats:
            return np.array([middle(both[:, 1], None).value / middle(both[:, 0], None).value])

        error = float(jackknife_error(again, np.column_stack([one, other]), clusters[0])[0])
    if not np.isfinite(error) and second.value > 0:
        error = ratio * float(np.hypot(first.error / first.value, second.error / second.value))
    return first, second, Estimate(ratio, error)


def _loss(run: Inputs) -> float:
    smallest = [float(np.nanmin(h["valid_loss"])) for h in run.histories if np.isfinite(h["valid_loss"]).any()]
    return float(np.mean(smallest)) if smallest else np.nan


def _known(run: Inputs, name: str) -> Floats:
    values: Floats = np.concatenate([history[name] for history in run.histories])
    return values[np.isfinite(values)]


def _middle(run: Inputs, name: str) -> float:
    values = _known(run, name)
    return float(np.median(values)) if values.size else np.nan


def _largest(run: Inputs, name: str) -> float:
    values = _known(run, name)
    return float(values.max()) if values.size else np.nan
