"""The report in plain words: what was trained on what, how good it is, and where not to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from starnet_hpc.evaluate import limits, rows, words
from starnet_hpc.evaluate.accuracy import UNMEASURED, Accuracy, measured
from starnet_hpc.evaluate.coverage import HONEST_68
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.residuals import share_of_std
from starnet_hpc.evaluate.sample import ALL
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.flags import Flag

_WORSE = 2.0
"""A kind of star whose residuals are this many times those of all is named."""
_BIAS = 0.5
"""A bias larger than this share of the scatter is named."""
_SIGNIFICANT = 3.0
"""Standard errors by which a fault must show before it is named."""
_OUTSIDE = sum(flag.value for flag in Flag if str(flag.name).startswith("OUTSIDE_"))


@dataclass(frozen=True)
class Verdict:
    """Sentences, most important first."""

    headline: str
    trained: tuple[str, ...]
    good: tuple[str, ...]
    doubts: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the verdict as lines of text for a terminal."""
        parts = {"Trained on": self.trained, "How good": self.good, "Where not to trust it": self.doubts}
        lines = [self.headline]
        for title, sentences in parts.items():
            lines += [f"{title}:", *(f"  - {sentence}" for sentence in sentences)]
        return lines


def verdict(inputs: Inputs, test: Accuracy, survey: Accuracy | None, stars: Table | None) -> Verdict:
    """Return the verdict on a run from its tables."""
    return Verdict(
        _headline(test),
        tuple(_trained(inputs)),
        tuple([*_good(test), *_survey(survey), *_stars(stars)]),
        tuple([*_doubts(test), *_failures(inputs), *_outside(inputs), *_limits(inputs)]),
    )


def _headline(test: Accuracy) -> str:
    by_verdict: dict[str, list[str]] = {}
    for label in test.glance.distinct("label"):
        by_verdict.setdefault(measured(share_of_std(test.residuals, label).value), []).append(words.plain(label))
    sentences = []
    for grade in ("well measured", "measured"):
        if names := by_verdict.get(grade):
            sentences.append(f"{words.listed(names)} {_are(names)} {grade}")
    if names := by_verdict.get("not measured"):
        sentences.append(f"{words.listed(names)} {_are(names)} not measured by this range")
    faults = [words.plain(label) for label in test.coverage.distinct("label") if _sigma_fault(test.coverage, label)]
    honest = f"but do not trust sigma of {words.listed(faults)}" if faults else "and the predicted sigmas are honest"
    return f"On held-out synthetic spectra {'; '.join(sentences) or 'nothing could be compared'}, {honest}."


def _trained(inputs: Inputs) -> list[str]:
    config, training = inputs.config, inputs.training
    low, high = inputs.wavelengths
    ranges = ", ".join(words.interval(name, training.low[name], training.high[name]) for name in training.labels)
    members = config.ensemble.members
    networks = "one network" if members == 1 else f"an ensemble of {members} networks"
    lines = limits.lines_inside(low, high)
    return [
        f"{words.sentence(networks)} (kind {config.network.kind}), trained on {words.count(training.spectra)} augmented spectra of "
        f"{words.count(training.templates)} templates of a grid in {config.grid.format} format.",
        f"Trained ranges: {ranges}.",
        f"Instrument {inputs.instrument.name}: {low:.0f}–{high:.0f} Å in air, "
        f"{words.count(inputs.test.store.wavelength.size)} pixels, R = {words.count(round(inputs.instrument.config.resolution))}; "
        f"strong lines in it: {words.listed(lines) or 'none'}.",
        f"S/N of the training spectra: {np.nanmin(training.snr):.0f} and more, half of them above {np.nanmedian(training.snr):.0f}.",
    ]


def _good(test: Accuracy) -> list[str]:
    glance = test.glance
    typical = [
        words.quantity(label, float(value)) + f" in {words.plain(label)}"
        for label, value in zip(glance.texts("label"), glance.numbers("median_absolute"), strict=True)
        if np.isfinite(value)
    ]
    n = int(max(glance.numbers("n"), default=0))
    sentences = (
        [f"Half of the {words.count(n)} held-out spectra have errors below {words.listed(typical)}."] if typical else []
    )
    covered = [
        f"{words.plain(str(row['label']))} {words.with_error(float(row['coverage_68']), float(row['coverage_68_error']))} %"
        for row in glance.rows
        if np.isfinite(float(row["coverage_68"]))
    ]
    if covered:
        sentences.append(f"One-sigma intervals (68.3 % if sigma is right) hold the truth for: {', '.join(covered)}.")
    return sentences


def _survey(survey: Accuracy | None) -> list[str]:
    if survey is None:
        return []
    typical = [
        f"{words.quantity(str(row['label']), float(row['median_absolute']))} in {words.plain(str(row['label']))}"
        for row in survey.glance.rows
        if np.isfinite(float(row["median_absolute"]))
    ]
    n = int(max(survey.glance.numbers("n"), default=0))
    return [
        f"Against the survey's own reference labels ({words.count(n)} spectra): median absolute differences of {words.listed(typical)}."
    ]


def _stars(stars: Table | None) -> list[str]:
    if stars is None:
        return []
    inside = stars.where(remark="")
    pulls = np.abs(inside.numbers("pull"))
    if not pulls.size:
        return ["Of the benchmark stars, none is inside the trained range with a usable prediction."]
    far = [
        f"{row['id']} ({words.plain(str(row['label']))})"
        for row in inside.rows
        if abs(float(row["pull"])) > _SIGNIFICANT
    ]
    agreed = f"{int((pulls <= 1).sum())} of {pulls.size} labels of {len(inside.distinct('id'))} benchmark stars agree within 1σ"
    return [
        f"{agreed}, {int((pulls <= 2).sum())} within 2σ" + (f"; more than 3σ off: {', '.join(far)}." if far else ".")
    ]


def _doubts(test: Accuracy) -> list[str]:
    labels = test.glance.distinct("label")
    return [sentence for find in (_unmeasured, _sigmas, _biased, _noisy, _kinds) for sentence in find(test, labels)]


def _unmeasured(test: Accuracy, labels: Sequence[str]) -> list[str]:
    return [
        f"{words.plain(label)} is not measured by this range: its median absolute residual is {percent:.0f} % of the "
        f"standard deviation of the training labels (always guessing the middle of the range gives about 87 %)."
        for label in labels
        if (percent := share_of_std(test.residuals, label).value) > UNMEASURED
    ]


def _sigmas(test: Accuracy, labels: Sequence[str]) -> list[str]:
    return [sentence for label in labels if (sentence := _sigma_fault(test.coverage, label))]


def _sigma_fault(coverage: Table, label: str) -> str:
    """Return what is wrong with the sigmas of a label; "" if nothing is."""
    row = coverage.first(label=label, snr=ALL) or {}
    covered, error = float(row.get("coverage_68", np.nan)), float(row.get("coverage_68_error", np.nan))
    factor = float(row.get("pull_robust_std", np.nan))
    shown = f"only {covered:.0f} %" if covered < HONEST_68[0] else f"{covered:.0f} %"
    if covered + _SIGNIFICANT * error < HONEST_68[0]:
        return (
            f"Undercoverage: sigma of {words.plain(label)} is too small. {words.sentence(shown)} of the 1σ intervals hold "
            f"the truth (68 % expected); multiply sigma by about {factor:.1f}."
        )
    if covered - _SIGNIFICANT * error > HONEST_68[1]:
        return (
            f"Overcoverage: sigma of {words.plain(label)} is too large. {words.sentence(shown)} of the 1σ intervals hold "
            f"the truth (68 % expected); multiply sigma by about {factor:.1f}."
        )
    return ""


def _biased(test: Accuracy, labels: Sequence[str]) -> list[str]:
    sentences = []
    for label in labels:
        row = test.residuals.first(label=label, snr=ALL) or {}
        bias, error, scatter = (float(row.get(key, np.nan)) for key in ("median", "median_error", "robust_std"))
        if abs(bias) > _BIAS * scatter and abs(bias) > _SIGNIFICANT * error:
            side = "high" if bias > 0 else "low"
            sentences.append(
                f"{words.plain(label)} comes out too {side} by {words.quantity(label, abs(bias))} (median)."
            )
    return sentences


def _noisy(test: Accuracy, labels: Sequence[str]) -> list[str]:
    worse: dict[str, list[str]] = {}
    for snr in test.residuals.distinct("snr"):
        for label in labels:
            if share_of_std(test.residuals, label).value > UNMEASURED:
                continue  # said already
            percent, error = share_of_std(test.residuals, label, snr)
            if snr != ALL and percent - _SIGNIFICANT * error > UNMEASURED:
                worse.setdefault(snr, []).append(words.plain(label))
    return [
        f"At S/N {snr}, {words.listed(names)} {_are(names)} no longer measured (median |Δ| over {UNMEASURED:.0f} % of the labels' "
        f"standard deviation)."
        for snr, names in worse.items()
    ]


def _kinds(test: Accuracy, labels: Sequence[str]) -> list[str]:
    worse: dict[str, list[str]] = {}
    for row in test.kinds.rows:
        ratio, label = float(row["ratio"]), str(row["label"])
        error = ratio * float(row["median_absolute_error"]) / max(float(row["median_absolute"]), 1e-300)
        if ratio - _SIGNIFICANT * error > _WORSE and share_of_std(test.residuals, label).value <= UNMEASURED:
            typical = words.quantity(label, float(row["median_absolute"]))
            worse.setdefault(str(row["kind"]), []).append(f"{typical} in {words.plain(label)} ({ratio:.1f} times)")
    return [
        f"{words.sentence(_plural(kind))} have much larger errors than others: {words.listed(found)}."
        for kind, found in worse.items()
    ]


def _failures(inputs: Inputs) -> list[str]:
    catalogues = {"held-out": inputs.test.catalogue}
    if inputs.survey is not None:
        catalogues["survey"] = inputs.survey.catalogue
    sentences = []
    for name, catalogue in catalogues.items():
        failed = rows.failed(catalogue)
        lost = int(failed.sum())
        if lost:
            sentences.append(
                f"{words.count(lost)} of {words.count(len(catalogue))} {name} spectra have no usable labels."
            )
        few = int((~failed & (catalogue.n_members < inputs.config.ensemble.members)).sum())
        if few:
            sentences.append(
                f"{words.count(few)} of {words.count(len(catalogue))} {name} spectra were predicted by fewer members than "
                f"the configuration's {inputs.config.ensemble.members}."
            )
    return sentences


def _outside(inputs: Inputs) -> list[str]:
    if inputs.survey is None:
        return []
    flags = inputs.survey.catalogue.flags
    outside, noisy = int(((flags & _OUTSIDE) != 0).sum()), int(((flags & Flag.LOW_SNR.value) != 0).sum())
    sentences = []
    if outside:
        percent = 100 * outside / flags.size
        sentences.append(
            f"{words.count(outside)} survey spectra ({percent:.1f} %) are flagged as outside the trained range in at least one label: "
            f"there a network extrapolates, and its sigma need not say so."
        )
    if noisy:
        sentences.append(f"{words.count(noisy)} survey spectra are noisier than any that was trained on.")
    return sentences


def _limits(inputs: Inputs) -> list[str]:
    low, high = inputs.wavelengths
    labels, arms = inputs.training.labels, inputs.instrument.config.arms
    ends = [(arm.start, arm.start + arm.step * (arm.count - 1)) for arm in arms if arm.spacing == "linear"]
    gaps = [(left[1], right[0]) for left, right in zip(ends, ends[1:], strict=False)] if len(ends) == len(arms) else []
    sentences = limits.of_wavelengths(low, high, labels, inputs.training.low.get("feh", np.nan), gaps)
    sentences += limits.of_resolution(inputs.instrument.config.resolution, labels)
    if "vrad" in labels:
        reach = max(abs(inputs.training.low["vrad"]), abs(inputs.training.high["vrad"]))
        sentences.append(
            f"Spectra must be shifted to within {reach:.1f} km/s of rest before prediction: larger velocities were not trained on."
        )
    return sentences + limits.of_synthetic_tests()


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _plural(kind: str) -> str:
    return f"{kind} stars" if kind.startswith("metal-poor") else f"{kind}s"
