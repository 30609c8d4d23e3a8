"""The report in plain words: what was trained on what, how good it is, and where not to trust it."""

from dataclasses import dataclass

import numpy as np

from starnet_hpc.evaluate import doubts, limits
from starnet_hpc.evaluate.accuracy import Accuracy, measured
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.residuals import share_of_std
from starnet_hpc.evaluate.tables import Row, Table
from starnet_hpc.evaluate.words import are, count, interval, listed, plain, quantity, resolution, sentence, with_error
from starnet_hpc.statistics import Floats


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
            lines += [f"{title}:", *(f"  - {text}" for text in sentences)]
        return lines


def verdict(
    inputs: Inputs, test: Accuracy, survey: Accuracy | None, stars: Table | None, others: Table | None
) -> Verdict:
    """Return the verdict on a run from its tables.

    Args:
        inputs: what the tables were made from.
        test: accuracy on held-out synthetic spectra.
        survey: accuracy against the survey's references, if it has any.
        stars: the table of benchmark stars, if there are any.
        others: the table of spectra of other grids, if there are any.
    """
    faults = doubts.of_accuracy(test) + ([] if others is None else doubts.of_others(others))
    return Verdict(
        _headline(test),
        tuple(_trained(inputs)),
        (*_good(test), *_survey(survey), *_stars(stars)),
        (*faults, *doubts.of_members(inputs), *doubts.of_rows(inputs), *doubts.of_range(inputs)),
    )


def _headline(test: Accuracy) -> str:
    labels: dict[str, list[str]] = {}
    for label in test.glance.distinct("label"):
        labels.setdefault(measured(share_of_std(test.residuals, label).value), []).append(plain(label))
    grades = {
        "well measured": "well measured",
        "measured": "measured",
        "not measured": "not measured by this range",
        "unknown": "without any usable prediction",
    }
    found = [
        f"{listed(labels[grade])} {are(labels[grade])} {text}" for grade, text in grades.items() if grade in labels
    ]
    if "unknown" in labels and len(labels) == 1:
        return "No held-out spectrum has a usable prediction: nothing can be said of these networks."
    faults = [plain(label) for label in test.coverage.distinct("label") if doubts.of_sigma(test.coverage, label)]
    honest = "the predicted sigmas are honest"
    if faults:
        honest = f"do not trust sigma of {listed(faults)}"
    elif doubts.uneven(test.coverage, test.coverage.distinct("label")):
        honest += " on the average, but not at every S/N"
    return f"On held-out synthetic spectra {'; '.join(found)}; {honest}."


def _trained(inputs: Inputs) -> list[str]:
    config, training, instrument = inputs.config, inputs.training, inputs.instrument
    low, high = inputs.wavelengths
    members = config.ensemble.members
    networks = "One network" if members == 1 else f"An ensemble of {members} networks"
    ranges = ", ".join(interval(name, training.low[name], training.high[name]) for name in training.labels)
    pixels = inputs.test.store.wavelength.size
    lines = listed(limits.lines_inside(low, high)) or "none"
    made = f"{networks} (kind {config.network.kind}), trained on {count(training.spectra)} augmented spectra of "
    made += f"{count(training.templates)} templates of a grid in {config.grid.format} format"
    made += ", and of linear mixtures between them." if training.store.has("draws/nodes") else "."
    seen = f"Instrument {instrument.name}: {low:.0f}–{high:.0f} Å in air, {count(pixels)} pixels, "
    seen += f"{resolution(*instrument.resolution_range)}; temperature- and pressure-sensitive lines in it: {lines}."
    windows = [f"network.{key}" for key in ("only", "ignore") if getattr(config.network, key)]
    seen += f" Networks do not see all of it: {listed(windows)}." if windows else ""
    return [made, f"Trained ranges: {ranges}.", seen, of_noise(training.snr)]


def of_noise(snr: Floats) -> str:
    """Return what to say of the S/N [n] of the training spectra."""
    if np.isinf(snr).all():
        return "The training spectra have no noise: neither labels nor sigma of noisy spectra can be trusted."
    return f"S/N of the training spectra: {np.nanmin(snr):.0f} and more, half of them above {np.nanmedian(snr):.0f}."


def _good(test: Accuracy) -> list[str]:
    sentences = []
    if typical := _typical(test):
        n = count(int(max(test.glance.numbers("n"))))
        sentences.append(f"Half of the {n} held-out spectra have errors below {listed(typical)}.")
    covered = [
        f"{plain(str(row['label']))} {with_error(float(row['coverage_68']), float(row['coverage_68_error']))} %"
        for row in test.glance.rows
        if np.isfinite(float(row["coverage_68"]))
    ]
    if covered:
        sentences.append(f"One-sigma intervals hold the truth (68.3 % if sigma is right) for: {', '.join(covered)}.")
    return sentences


def _survey(survey: Accuracy | None) -> list[str]:
    if survey is None or not (typical := _typical(survey)):
        return []
    n = count(int(max(survey.glance.numbers("n"))))
    return [
        f"Against the survey's reference labels ({n} spectra), half of the differences are below {listed(typical)}."
    ]


def _typical(found: Accuracy) -> list[str]:
    return [
        f"{quantity(str(row['label']), float(row['median_absolute']))} in {plain(str(row['label']))}"
        for row in found.glance.rows
        if np.isfinite(float(row["median_absolute"]))
    ]


def _stars(stars: Table | None) -> list[str]:
    if stars is None:
        return []
    inside = stars.where(remark="")
    pulls = np.abs(inside.numbers("pull"))
    if not pulls.size:
        return ["None of the benchmark stars is inside the trained range with a usable prediction."]
    within = [int((pulls <= sigmas).sum()) for sigmas in (1, 2)]
    text = f"{pulls.size} labels of {len(inside.distinct('id'))} benchmark stars were compared: {within[0]} agree "
    text += f"within 1σ, {within[1]} within 2σ"
    far = [_named(row) for row in inside.rows if abs(float(row["pull"])) > doubts.SIGNIFICANT]
    return [sentence(text) + (f"; more than {doubts.SIGNIFICANT:.0f}σ off: {listed(far)}." if far else ".")]


def _named(row: Row) -> str:
    return f"{row['id']} ({plain(str(row['label']))})"
