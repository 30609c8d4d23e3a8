"""Where not to trust a run: faults that show in its tables, and limits that no table shows; each one sentence."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from starnet_hpc.evaluate import limits, nuisances, rows
from starnet_hpc.evaluate.accuracy import UNMEASURED, Accuracy
from starnet_hpc.evaluate.coverage import HONEST_68
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.others import OWN
from starnet_hpc.evaluate.residuals import share_of_std
from starnet_hpc.evaluate.sample import ALL
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.evaluate.words import are, count, listed, plain, quantity, sentence
from starnet_hpc.flags import Flag

SIGNIFICANT = 3.0
"""Standard errors by which a fault must show before it is named."""
_WORSE = 2.0
"""A kind of star whose residuals are this many times those of all is named."""
_BIAS = 0.5
"""A bias larger than this share of the scatter is named."""
_UNEVEN = 6.0
"""Coverage that differs between the noisiest and the best spectra by more than this [%] is told."""
_UNLIKE = 0.03
"""A larger share of the survey that looks unlike training spectra is told: of spectra like these, 0.01 do."""
_OUTSIDE = sum(flag.value for flag in Flag if str(flag.name).startswith("OUTSIDE_"))


class Uneven(NamedTuple):
    """A label whose sigma does not follow S/N: what one sigma holds [%] in the first and the last bin."""

    label: str
    noisy: float
    quiet: float
    bins: tuple[str, str]


def of_accuracy(test: Accuracy) -> list[str]:
    """Return what the tables of held-out spectra warn of."""
    labels = test.glance.distinct("label")
    return [text for find in _FINDERS for text in find(test, labels)]


def of_sigma(coverage: Table, label: str) -> str:
    """Return what is wrong with the sigmas of a label; "" if nothing is."""
    row = coverage.first(label=label, snr=ALL) or {}
    covered, error = float(row.get("coverage_68", np.nan)), float(row.get("coverage_68_error", np.nan))
    shift, factor = (float(row.get(key, np.nan)) for key in ("pull_mean", "pull_robust_std"))
    # Pulls are farther from zero than from one another: no factor on sigma mends that.
    advice = "a bias is to blame" if abs(shift) > factor else f"multiply sigma by about {factor:.1f}"
    facts = f"{covered:.0f} % of the 1σ intervals hold the truth (68 % expected); {advice}."
    if covered + SIGNIFICANT * error < HONEST_68[0]:
        return f"Undercoverage: sigma of {plain(label)} is too small. Only {facts}"
    if covered - SIGNIFICANT * error > HONEST_68[1]:
        return f"Overcoverage: sigma of {plain(label)} is too large. {facts}"
    return ""


def of_others(others: Table) -> list[str]:
    """Return of which other grids' spectra sigma is too small, from the table of `others`."""
    sentences = []
    for grid in others.distinct("grid"):
        for where in others.where(grid=grid).distinct("where"):
            few = [
                f"{float(row['coverage_68']):.0f} % for {plain(str(row['label']))}"
                for row in others.where(grid=grid, where=where).rows
                if float(row["coverage_68"]) + SIGNIFICANT * float(row["coverage_68_error"]) < HONEST_68[0]
            ]
            if few and where != OWN:
                sentences.append(
                    f"On spectra of another grid ({grid}, {where} the trained range) sigma is too small: one sigma "
                    f"holds {listed(few)} (68 % expected). It does not know how far models are from one another."
                )
    return sentences


def of_members(inputs: Inputs) -> list[str]:
    """Return which members are too much alike for their agreement to mean anything."""
    same = [] if inputs.validations.diversity is None else inputs.validations.diversity["nearly_same"]
    return [
        f"Members {a} and {b} are nearly the same on validation spectra: their agreement says little, and the "
        f"epistemic sigma is too small."
        for a, b in same
    ]


def of_rows(inputs: Inputs) -> list[str]:
    """Return which rows of the catalogues are not to be used."""
    catalogues = {"held-out": inputs.test.catalogue}
    if inputs.survey is not None:
        catalogues["survey"] = inputs.survey.catalogue
    members = inputs.config.ensemble.members
    sentences = []
    for name, catalogue in catalogues.items():
        spectra = f"of {count(len(catalogue))} {name} spectra"
        failed = rows.failed(catalogue)
        if failed.any():
            sentences.append(f"Without usable labels: {count(int(failed.sum()))} {spectra}.")
        few = int((~failed & (catalogue.n_members < members)).sum())
        if few:
            sentences.append(f"Predicted by fewer than the ensemble's {members} members: {count(few)} {spectra}.")
    return sentences + _outside(inputs)


def of_range(inputs: Inputs) -> list[str]:
    """Return what wavelengths, resolution, velocities and the kind of training cannot give."""
    low, high = inputs.wavelengths
    training, instrument = inputs.training, inputs.instrument
    # Pixels more than ten times wider apart than usual have a gap between them.
    pixels = inputs.test.store.wavelength
    wide = np.diff(pixels) > 10 * np.median(np.diff(pixels))
    gaps = [(float(a), float(b)) for (a, b), gap in zip(pairwise(pixels), wide, strict=True) if gap]
    sentences = limits.of_wavelengths(low, high, training.labels, training.low.get("feh", np.nan), gaps)
    sentences += limits.of_resolution(*instrument.resolution_range, training.labels)
    if "vrad" in training.labels:
        reach = max(abs(training.low["vrad"]), abs(training.high["vrad"]))
        text = f"Velocities beyond {reach:.1f} km/s were not trained on: such spectra must be shifted first."
        if inputs.shifted:
            limit = inputs.config.predict.velocity_limit
            text = f"Velocities beyond {limit:g} km/s are not found, and labels of such spectra mean nothing."
        sentences.append(text)
    return sentences + limits.of_synthetic_tests()


def _unmeasured(test: Accuracy, labels: Sequence[str]) -> list[str]:
    return [
        f"{plain(label)} is not measured by this range: its median absolute residual is {percent:.0f} % of the "
        f"standard deviation of the training labels (always guessing the middle of the range gives about 87 %)."
        for label in labels
        if (percent := share_of_std(test.residuals, label).value) > UNMEASURED
    ]


def _sigmas(test: Accuracy, labels: Sequence[str]) -> list[str]:
    return [text for label in labels if (text := of_sigma(test.coverage, label))]


def _uneven(test: Accuracy, labels: Sequence[str]) -> list[str]:
    """Return the labels whose sigma does not follow S/N as their errors do."""
    found = uneven(test.coverage, labels)
    if not found:
        return []
    low, high = found[0].bins
    shares = listed([f"{one.noisy:.0f} and {one.quiet:.0f} % for {plain(one.label)}" for one in found])
    text = f"Sigma does not follow S/N as the errors do: at S/N {low} and {high}, one sigma holds {shares} (68 % "
    return [f"{text}expected), so that it is honest on the average only."]


def uneven(coverage: Table, labels: Sequence[str]) -> list[Uneven]:
    """Return the labels whose one-sigma intervals hold more, or less, of the noisiest spectra than of the best."""
    bins = [snr for snr in coverage.distinct("snr") if snr not in {ALL, "unknown"}]
    found = []
    for label in labels:
        rows = [row for snr in bins if (row := coverage.first(label=label, snr=snr)) and row["n"]]
        if len(rows) < 2:
            continue
        first, last = rows[0], rows[-1]
        (noisy, error), (quiet, other) = (
            (float(row["coverage_68"]), float(row["coverage_68_error"])) for row in (first, last)
        )
        if abs(noisy - quiet) > max(_UNEVEN, SIGNIFICANT * float(np.hypot(error, other))):
            found.append(Uneven(label, noisy, quiet, (str(first["snr"]), str(last["snr"]))))
    return found


def _drifting(test: Accuracy, labels: Sequence[str]) -> list[str]:
    return drifting(test.residuals, test.nuisances, labels)


def drifting(by_snr: Table, along: Table, labels: Sequence[str]) -> list[str]:
    """Return where in a nuisance a label is biased by more than its scatter allows for."""
    found: dict[str, list[str]] = {}
    for label in labels:
        whole = by_snr.first(label=label, snr=ALL) or {}
        scatter, everywhere = (float(whole.get(key, np.nan)) for key in ("robust_std", "median"))
        for row in along.where(label=label).rows:
            shift, error = float(row["median"]) - everywhere, float(row["median_error"])
            if row["nuisance"] == label or not abs(shift) > max(_BIAS * scatter, SIGNIFICANT * error):
                continue
            side = "high" if shift > 0 else "low"
            where = nuisances.place(str(row["nuisance"]), float(row["low"]), float(row["high"]))
            found.setdefault(where, []).append(f"{plain(label)} too {side} by {quantity(label, abs(shift))}")
    return [f"At {where}, labels are biased against the others: {listed(names)}." for where, names in found.items()]


def _biased(test: Accuracy, labels: Sequence[str]) -> list[str]:
    sentences = []
    for label in labels:
        row = test.residuals.first(label=label, snr=ALL) or {}
        bias, error, scatter = (float(row.get(key, np.nan)) for key in ("median", "median_error", "robust_std"))
        if abs(bias) > _BIAS * scatter and abs(bias) > SIGNIFICANT * error:
            side = "high" if bias > 0 else "low"
            sentences.append(f"{plain(label)} comes out too {side} by {quantity(label, abs(bias))} (median).")
    return sentences


def _noisy(test: Accuracy, labels: Sequence[str]) -> list[str]:
    worse: dict[str, list[str]] = {}
    measured = [label for label in labels if share_of_std(test.residuals, label).value <= UNMEASURED]
    for snr in test.residuals.distinct("snr"):
        for label in measured:
            percent, error = share_of_std(test.residuals, label, snr)
            if snr != ALL and percent - SIGNIFICANT * error > UNMEASURED:
                worse.setdefault(snr, []).append(plain(label))
    return [
        f"At S/N {snr}, {listed(names)} {are(names)} no longer measured (median |Δ| over {UNMEASURED:.0f} % of the "
        f"standard deviation of the training labels)."
        for snr, names in worse.items()
    ]


def _kinds(test: Accuracy, labels: Sequence[str]) -> list[str]:
    measured = [label for label in labels if share_of_std(test.residuals, label).value <= UNMEASURED]
    worse: dict[str, list[str]] = {}
    for row in test.kinds.rows:
        ratio, typical, error = (float(row[key]) for key in ("ratio", "median_absolute", "median_absolute_error"))
        label = str(row["label"])
        if label in measured and typical > 0 and ratio * (1 - SIGNIFICANT * error / typical) > _WORSE:
            text = f"{quantity(label, typical)} in {plain(label)} ({ratio:.1f} times as much)"
            worse.setdefault(str(row["kind"]), []).append(text)
    return [
        f"{sentence(_plural(kind))} have much larger median absolute residuals than others: {listed(found)}."
        for kind, found in worse.items()
    ]


def _outside(inputs: Inputs) -> list[str]:
    if inputs.survey is None:
        return []
    flags = inputs.survey.catalogue.flags
    outside, noisy = int(((flags & _OUTSIDE) != 0).sum()), int(((flags & Flag.LOW_SNR.value) != 0).sum())
    sentences = []
    if outside:
        text = (
            f"{count(outside)} survey spectra ({100 * outside / flags.size:.1f} %) are flagged as outside the trained "
        )
        sentences.append(f"{text}range in at least one label: there a network extrapolates, and sigma need not say so.")
    if noisy:
        sentences.append(f"{count(noisy)} survey spectra are noisier than any that was trained on.")
    for flag, what in (
        (Flag.UNLIKE_TRAINING, "look unlike those that the networks were trained on"),
        (Flag.POOR_FIT, "are not fitted by the grid's spectra of their labels"),
    ):
        carry = int(((flags & flag.value) != 0).sum())
        if carry > _UNLIKE * flags.size:
            sentences.append(
                f"{count(carry)} survey spectra ({100 * carry / flags.size:.1f} %) {what} (flag {flag.name}; 1 % would "
                f"by chance): see what they have in common."
            )
    return sentences


def _plural(kind: str) -> str:
    return f"{kind} stars" if kind.startswith("metal-poor") else f"{kind}s"


_FINDERS = (_unmeasured, _sigmas, _uneven, _biased, _drifting, _noisy, _kinds)
