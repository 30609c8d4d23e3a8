"""`evaluate A B`: the page that holds two runs side by side."""

from pathlib import Path

import numpy as np

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import coverage, doubts, page, pair_bias, pair_tables, provenance_listing
from starnet_hpc.evaluate.document import Block, Grid, Picture, Section, Text
from starnet_hpc.evaluate.figures import accuracy as accuracy_figures
from starnet_hpc.evaluate.figures import pairs as figures
from starnet_hpc.evaluate.files import write_files
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.limits import of_synthetic_tests
from starnet_hpc.evaluate.pairs import Pair, read_pair, stars_in_common
from starnet_hpc.evaluate.residuals import FEWEST
from starnet_hpc.evaluate.sample import ALL, snr_bins
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.evaluate.verdict import Verdict
from starnet_hpc.evaluate.words import count, listed, number, plain, resolution, with_error
from starnet_hpc.progress import stage_log
from starnet_hpc.stores import write_atomically

_RATIOS = (
    "Ratios are {second} over {first}: below 1, {second} has the smaller value. Smaller residuals and CRPS are better, "
    "smaller σ only where it is honest. {how}"
)
_PAIRED = (
    "Both have predicted the same spectra, so that errors in common drop out of the ratios: ± is from a jackknife over "
    "templates."
)
_INDEPENDENT = "± is the standard error for independent stars."
_APART = "The spectra are not the same: ± of ratios is that of independent numbers."


def compare_runs(first: ExperimentConfig, second: ExperimentConfig) -> Path:
    """Write a page that holds two runs side by side into the first one's folder; return its path.

    Only the first one's folder is written to, and its `evaluate.snr_edges` are the bins of both.

    Raises:
        ConfigError: both are the same run.
        StoreMismatchError: they have no label in common, or a catalogue does not belong to its store.
        MissingInputError: an input of one of them is not there; the message says which command makes it.
    """
    with stage_log("evaluate", first.run_dir) as log:
        pair = read_pair(first, second)
        for text in pair.limits():
            log.warning("%s", text)
        bins = snr_bins(first.evaluate.snr_edges)
        compared = pair_tables.ratios("ratios", "Residuals, sigmas and CRPS on held-out spectra", pair, bins)
        chapters = [
            _accuracy(pair, compared),
            _honesty(pair),
            *_benchmarks(pair),
            *_survey(pair),
            _costs(pair),
            _provenance(pair),
        ]
        found = _verdict(pair, compared)

        folder = f"comparison_with_{Path(pair.names[1]).name}"
        with log.bar("figures", sum(1 for chapter in chapters for _ in chapter.pictures()), "figures") as bar:
            images = write_files(first.run_dir / folder, chapters, lambda name: bar.advance(1, name))
        title = f"{pair.names[0]} and {pair.names[1]}"
        text = page.render(title, "Two runs side by side", found, chapters, images, folder)
        report = first.run_dir / f"{folder}.html"
        write_atomically(report, lambda file: file.write(text.encode()))
        for line in [*found.lines(), "", f"report: {report}"]:
            log.info("%s", line)
        return report


def _accuracy(pair: Pair, compared: Table) -> Section:
    note = _RATIOS.format(first=pair.names[0], second=pair.names[1], how=_PAIRED if pair.same_spectra else _APART)
    blocks = (Picture(compared, figures.ratios, note), Grid(compared, note), pair_bias.picture(pair))
    return Section("accuracy", "Accuracy and sigma", blocks)


def _honesty(pair: Pair) -> Section:
    bins = snr_bins(pair.first.config.evaluate.snr_edges)
    curves = pair_tables.curves("calibration", "Coverage of intervals of every size, held-out spectra", pair)
    shares = pair_tables.honesty("honesty", "Coverage of predicted intervals, held-out spectra", pair, bins)
    note = "Zero if predicted distributions are right, below zero if sigma is too small, above if it is too large."
    rule = "68.3 and 95.4 % if sigma is right; the PIT distance is 0 if predicted Gaussians are right."
    return Section("calibration", "Calibration", (Picture(curves, figures.curves, note), Grid(shares, rule)))


def _benchmarks(pair: Pair) -> list[Section]:
    """Return the chapter on benchmark stars, if both surveys have some."""
    stars = pair_tables.benchmark_stars("benchmarks", "Benchmark stars: predicted − published", pair, 0)
    groups = pair_tables.benchmark_stars("benchmark_groups", "Benchmark stars by kind", pair, 1)
    if stars is None or groups is None:
        return []
    note = (
        "As Fig. 5 of Bialek et al. (2020). Error bars: combined sigma. Open: not in the statistics of that run, "
        "outside its trained range."
    )
    rule = (
        "As Table 2. Each run is compared on stars in its own trained range: look at N before a smaller RMS is taken "
        "for better."
    )
    return [Section("benchmarks", "Benchmark stars", (Picture(stars, figures.benchmarks, note), Grid(groups, rule)))]


def _survey(pair: Pair) -> list[Section]:
    common = stars_in_common(pair)
    if common is None:
        none = "The two runs have no survey star in common (by id), so that their catalogues are not compared."
        return [Section("survey", "Survey stars in common", (Text(none),))]
    told = f"{count(common.ids.size)} survey stars have the same id in both runs. "
    told += f"Differences are {pair.names[1]} − {pair.names[0]}, pulls those over both sigmas combined. "
    if common.same_spectra:
        told += (
            "The spectra are the same, too, so that their noise is common to both answers: pulls should scatter by "
            "less than 1."
        )
    differences = pair_tables.survey("survey", "Differences of survey stars in common", common)
    pulls = coverage.pull_histogram("survey_pulls", "Differences over combined sigma, survey stars", common.sample)
    far = pair_tables.farthest("farthest", "Stars and labels that differ most", pair, common)
    blocks: list[Block] = [Text(told), Grid(differences, _INDEPENDENT)]
    if common.ids.size >= FEWEST:
        blocks.append(Picture(pulls, accuracy_figures.pulls, "The outermost bins hold all differences beyond them."))
    blocks.append(Grid(far, folded=True))
    return [Section("survey", "Survey stars in common", tuple(blocks))]


def _costs(pair: Pair) -> Section:
    spent = pair_tables.costs("costs", "What training took", pair)
    settings = pair_tables.settings("settings", "Settings that differ", pair)
    note = "Hours as the histories of the members tell them, one after the other, on whatever machine it was."
    return Section("costs", "Costs and settings", (Grid(spent, note), Grid(settings)))


def _provenance(pair: Pair) -> Section:
    listed_inputs = provenance_listing.inputs_table(dict(zip(pair.names, pair.runs, strict=True)))
    return Section("provenance", "Provenance", (Grid(listed_inputs), *provenance_listing.software_blocks()))


def _verdict(pair: Pair, compared: Table) -> Verdict:
    found: dict[str, list[str]] = {"smaller": [], "larger": [], "same": []}
    for row in compared.where(snr=ALL).rows:
        ratio, error = float(row["residual_ratio"]), float(row["residual_ratio_error"])
        text = f"{plain(str(row['label']))} ({with_error(ratio, error)} times)"
        if abs(ratio - 1) > pair_tables.SIGNIFICANT * error:
            found["smaller" if ratio < 1 else "larger"].append(text)
        elif np.isfinite(ratio):
            found["same"].append(text)
    first, second = pair.names
    told = [f"{size} in {listed(found[size])}" for size in ("smaller", "larger") if found[size]]
    headline = f"On held-out synthetic spectra, median residuals of {second} are "
    headline += f"{listed(told)} than those of {first}" if told else f"not significantly other than those of {first}"
    if found["same"]:
        headline += (
            f"; without a significant difference: {listed(found['same'])}" if told else f": {listed(found['same'])}"
        )
    runs = list(zip(pair.names, pair.runs, strict=True))
    return Verdict(
        f"{headline}.",
        tuple(_trained(name, inputs) for name, inputs in runs),
        (*(_honest(name, inputs) for name, inputs in runs), *_spent(pair)),
        (*pair.limits(), *of_synthetic_tests()),
    )


def _trained(name: str, run: Inputs) -> str:
    config, (low, high) = run.config, run.wavelengths
    text = f"{name}: {config.ensemble.members} networks (kind {config.network.kind}), {count(run.training.spectra)} "
    text += f"spectra of {count(run.training.templates)} templates ({config.grid.format}), {low:.0f}–{high:.0f} Å, "
    return f"{text}{resolution(*run.instrument.resolution_range)}."


def _honest(name: str, run: Inputs) -> str:
    bins = snr_bins(run.config.evaluate.snr_edges)
    found = coverage.by_snr("", "", run.test.sample, bins)
    faults = [plain(label) for label in run.test.sample.labels if doubts.of_sigma(found, label)]
    if faults:
        return f"{name}: do not trust sigma of {listed(faults)}."
    uneven = doubts.uneven(found, run.test.sample.labels)
    return f"{name}: sigmas are honest{' on the average, but not at every S/N' if uneven else ''}."


def _spent(pair: Pair) -> list[str]:
    one, other = (pair_tables.hours(run) for run in pair.runs)
    if not (one > 0 and other > 0):
        return []
    first, second = pair.names
    return [f"Training took {number(one)} h for {first}, {number(other)} h for {second} ({number(other / one)} times)."]
