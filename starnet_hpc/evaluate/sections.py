"""The chapters of the report."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from starnet_hpc.evaluate import (
    benchmarks,
    continuum_tables,
    coverage,
    distributions,
    members,
    provenance_listing,
    residuals,
    rows,
    words,
)
from starnet_hpc.evaluate.accuracy import Accuracy
from starnet_hpc.evaluate.document import Block, Grid, Picture, Section, Stars, Text
from starnet_hpc.evaluate.figures import accuracy as accuracy_figures
from starnet_hpc.evaluate.figures import benchmarks as benchmark_figures
from starnet_hpc.evaluate.figures import calibration as calibration_figures
from starnet_hpc.evaluate.figures import continuum as continuum_figures
from starnet_hpc.evaluate.figures import histograms as histogram_figures
from starnet_hpc.evaluate.figures import training as training_figures
from starnet_hpc.evaluate.inputs import Inputs, Survey, Test
from starnet_hpc.evaluate.sample import snr_bins
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.evaluate.validations import Validations

_BIAS_ERRORS = "± is the standard error of the median over templates."
_ERRORS = (
    "± is a standard error: the larger of the one for independent spectra and (where templates are known) the one that "
    "allows for errors that the spectra of one template have in common."
)
_CUTS = (
    "Cuts act in this order; limits of sigma are set by evaluate.sigma_limits. What is left is compared with reference "
    "labels, where there are any; a row that lacks some of them counts for the others."
)
_AS_GAUSSIANS = "Catalogues have a mean and a sigma, so predictions are judged as Gaussians, those of mixtures, too."
_CALIBRATION = (
    "Share of truths in the central interval of each size, less that size: zero if predicted distributions are right, "
    "below zero if sigma is too small, above if it is too large."
)
_PIT = (
    "Probability integral transform: flat if sigmas are right, high at both ends if they are too small, in the middle "
    "if they are too large, sloping if there is a bias."
)
_SCORES = (
    "Of two equally honest predictions the sharper one has the smaller CRPS. A CRPS above the expected one (× above 1) "
    "tells of sigmas too small or errors with heavy tails; the error of × is that of the CRPS."
)
_PARTS = (
    "Aleatoric: from noise, as members see it; epistemic: where members differ. The parts are as the members claim "
    "them; the total σ is calibrated, and need not be their sum in quadrature."
)


def accuracy_sections(test: Accuracy, growth: Picture, validations: Validations) -> list[Section]:
    """Return the chapters on held-out synthetic spectra; `growth` shows sigma against truth and residual."""
    uncertainties = (*_coverage_blocks(test), growth, *_diversity_blocks(validations))
    return [
        Section("glance", "At a glance", (Grid(test.glance, _ERRORS),)),
        Section("residuals", "Residuals", _residual_blocks(test)),
        Section("uncertainties", "Uncertainties", uncertainties),
    ]


def survey_section(inputs: Inputs, survey: Survey, compared: Accuracy | None, cuts: Table) -> Section:
    """Return the chapter on the survey; without references it only counts."""
    blocks: list[Block] = [Grid(cuts, _CUTS)]
    if compared is None:
        bins = snr_bins(inputs.config.evaluate.snr_edges)
        name, caption = "survey_sigma", "Predicted sigma of the survey and its parts (medians)"
        blocks.append(Grid(coverage.sigma_parts(name, caption, survey.sample, bins)))
        blocks.append(
            Text("Apart from benchmark stars, the survey has too few reference labels (or none) to compare with.")
        )
    else:
        blocks += [
            Text(
                "Differences are predicted − reference; in pulls and coverage, sigma includes the error of the "
                "reference where it is known."
            ),
            Grid(compared.glance, _ERRORS),
            *_residual_blocks(compared, true="reference"),
            *_coverage_blocks(compared),
        ]
    return Section("survey", "Survey", tuple(blocks))


def benchmark_section(stars: Table, groups: Table, others: Sequence[Block] = ()) -> Section:
    """Return the chapter on benchmark stars; `others` compare them with other published labels."""
    rule = (
        "Each cell: predicted ± total sigma, published ± its error, and their difference in units of the combined "
        "sigma (of sigma alone where no error was published). Grey: outside the trained range, not in the statistics; "
        "a star with Teff, log g, [Fe/H] or [α/Fe] outside counts as outside in all labels. Bold orange: more than 3σ."
    )
    summary = (
        f"Metal-rich: [Fe/H] > −1; giant: log g ≤ 3.5. Groups with fewer than {benchmarks.FEWEST_STARS} stars in range "
        f"show no statistics. The paper's 'average quadratic difference' is given both as RMS and as mean |Δ|."
    )
    figure = Picture(
        stars,
        benchmark_figures.differences,
        "Predicted − published. Error bars: combined sigma. Stars are sorted by kind and temperature.",
    )
    return Section("benchmarks", "Benchmark stars", (Stars(stars, rule), Grid(groups, summary), figure, *others))


def training_section(inputs: Inputs) -> Section:
    """Return the chapter on losses, time, and what validation spectra say of each member."""
    losses = distributions.losses("losses", "Loss of every member against the epoch", inputs.histories)
    listed = distributions.members("members", "Members of the ensemble", inputs.histories)
    blocks: list[Block] = [
        Picture(
            losses,
            training_figures.losses,
            "Solid: validation; dotted: training. A ring marks the weights that are kept.",
        ),
        Grid(
            listed,
            "The loss is the negative log-likelihood of the standardised labels: smaller is better.",
        ),
    ]
    time = members.time_shares("training_time", "Where the time of training went", inputs.histories)
    if time.rows:
        note = "Data: waiting for batches and masking pixels; other: checkpoints, and agreeing with other processes."
        blocks.append(Picture(time, training_figures.time_shares, note))
    return Section("training", "Training", (*blocks, *_validation_blocks(inputs.validations)))


def _validation_blocks(found: Validations) -> tuple[Block, ...]:
    """Return what validation spectra say of each member and of the ensemble, none of it calibrated."""
    if not found.scores:
        return ()
    places = members.pit("members_pit", "Where truths lie in what was predicted for them, validation spectra", found)
    scores = members.scores("members_validation", "Scores of each member on validation spectra", found)
    note = f"{_PIT} Sigmas are as claimed."
    rule = (
        "Weights were chosen by these spectra, so that losses are a little too good; sigmas are as claimed. The "
        f"temperature belongs to the likelihood, the 68 % factor is what calibration uses (in bins of S/N). NLL and "
        f"PIT of members that predict mixtures are those of the mixtures; all else, and the ensemble, is judged as "
        f"Gaussians. {_ERRORS}"
    )
    return Picture(places, training_figures.pit, note), Grid(scores, rule, folded=True)


def _diversity_blocks(found: Validations) -> tuple[Block, ...]:
    """Return how much the members differ, if there are several."""
    if found.diversity is None or not members.are_several(found.diversity):
        return ()
    each = members.diversity("diversity", "Diversity of the members on validation spectra", found.diversity)
    pairs = members.pairs("diversity_pairs", "Distance of each pair of members [σ]", found.diversity)
    note = (
        "Members that always agree would tell nothing of what the ensemble does not know. The noise of a spectrum is "
        "common to all of them, so that their residuals are correlated."
    )
    return Grid(each, note), Grid(pairs, "Mean over spectra, in units of the claimed sigma.", folded=True)


def spectra_section(inputs: Inputs) -> Section:
    """Return the chapter on the spectra themselves."""
    snr = {"training": inputs.training.snr, "held-out": inputs.test.sample.snr}
    if inputs.survey is not None:
        snr["survey"] = inputs.survey.sample.snr
    histogram = distributions.snr_histogram("snr", "Signal-to-noise ratio of the spectra", snr)
    unknown = sum(int(np.isnan(values).sum()) for values in snr.values())
    note = "The outermost bins hold everything beyond them."
    if unknown:
        note += f" {words.count(unknown)} spectra of unknown S/N are not shown."
    blocks = [*_continuum_blocks(inputs), Picture(histogram, training_figures.snr, note)]
    return Section("spectra", "Spectra", tuple(blocks))


def _continuum_blocks(inputs: Inputs) -> list[Block]:
    """Return figures of the continuum, each as far as the file behind it is there."""
    found, blocks = inputs.continua, list[Block]()
    shown = continuum_tables.example_spectra(
        "example_spectra", "Spectra with the continuum that was found", found, inputs.config.evaluate.example_spectra
    )
    if shown.rows:
        samples = shown.distinct("sample")
        right = "the same, normalised" if len(samples) < 2 else "spectra of the survey"
        left = "held-out synthetic spectra" if continuum_tables.HELD_OUT in samples else "spectra of the survey"
        note = f"Left: {left}; right: {right}. As Fig. A2 of Bialek et al. (2020). Every few pixels are drawn."
        blocks.append(Picture(shown, continuum_figures.example_spectra, note))
    if found.held_out is None:
        blocks.append(
            Text(
                "Held-out spectra with their continuum are not shown: examples.npz, which `starnet-hpc augment` "
                "writes, is not in the run directory."
            )
        )
    if found.bias is not None:
        against = "the true continuum" if found.bias.against_truth else "the continuum that is found without noise"
        caption = f"Offset of the continuum that is found from {against}"
        bias = continuum_tables.bias("continuum_bias", caption, found.bias)
        note = (
            "Held-out templates with drawn velocities, each at several levels of noise; medians over pixels, then over "
            "templates. As Fig. A1 of Bialek et al. (2020): training spectra have the same offsets, and the network "
            "learns to allow for them."
        )
        blocks += [Picture(bias, continuum_figures.bias, note), Grid(bias, _BIAS_ERRORS, folded=True)]
    return blocks


def rows_section(inputs: Inputs) -> Section:
    """Return the chapter on flags and failed rows."""
    blocks: list[Block] = [
        Grid(
            rows.flags("flags", "Flags of the catalogues", inputs),
            "A row can carry several flags; `value` is the bit in the flags column.",
        )
    ]
    predicted: dict[str, Test | Survey] = {"held-out spectra": inputs.test}
    if inputs.survey is not None:
        predicted["survey"] = inputs.survey
    blocks += [_failures(title, found) for title, found in predicted.items()]
    return Section("rows", "Flags and failures", tuple(blocks))


def provenance_section(inputs: Inputs) -> Section:
    """Return the chapter that says where everything comes from."""
    return Section("provenance", "Provenance", provenance_listing.blocks(inputs))


def _failures(title: str, found: Test | Survey) -> Block:
    catalogue, title = found.catalogue, words.sentence(title)
    lost, of = int(rows.failed(catalogue).sum()), words.count(len(catalogue))
    if not lost:
        return Text(f"{title}: all {of} rows have usable labels.")
    name = f"{found.store.path.stem}_failed_rows"
    table = rows.failures(name, f"{title}: rows without usable labels", catalogue, found.store)
    listed = f"; the first {len(table.rows)} are listed." if lost > len(table.rows) else "."
    return Grid(table, f"{words.count(lost)} of {of} rows have no usable label{listed}", folded=True)


def _residual_blocks(found: Accuracy, true: str = "true") -> tuple[Block, ...]:
    return (
        Grid(found.residuals, f"Δ = predicted − {true}. {_ERRORS}"),
        Picture(
            found.along_label,
            partial(accuracy_figures.residuals_along_label, true=true),
            f"As Fig. 3 of Bialek et al. (2020). Bins with fewer than {residuals.FEWEST} spectra are not shown.",
        ),
        Picture(
            found.histogram,
            partial(histogram_figures.residuals, true=true),
            "As Fig. 10 of Bialek et al. (2020). Orange: median. The outermost bins hold all residuals beyond them.",
        ),
        Picture(
            found.density,
            partial(accuracy_figures.predicted_against_true, true=true),
            "The dashed line is equality. Predictions beyond the axes are counted at their edges.",
        ),
        *_nuisance_blocks(found),
        Grid(found.kinds, "Metal-rich: [Fe/H] > −1; giant: log g ≤ 3.5.", folded=True),
    )


def _nuisance_blocks(found: Accuracy) -> tuple[Block, ...]:
    """Return residuals against what differs between spectra of one star, where that is known and varies."""
    if not found.nuisances.rows:
        return ()
    note = (
        "Medians of bins with equally many spectra, drawn at the median of the bin. The blue line should lie on zero: "
        "where it does not, a star's label depends on how it was observed (or on how it rotates)."
    )
    return (Picture(found.nuisances, calibration_figures.nuisances, note),)


def _coverage_blocks(found: Accuracy) -> tuple[Block, ...]:
    return (
        Picture(
            found.coverage,
            accuracy_figures.coverage,
            "Dashed: what right sigmas give. Below: sigma is too small. The band is what counts as honest (60–76 %).",
        ),
        Grid(found.coverage, _ERRORS),
        Picture(found.calibration, calibration_figures.curve, _CALIBRATION),
        Picture(found.pit, calibration_figures.pit, f"{_PIT} {_AS_GAUSSIANS}"),
        Grid(found.scores, f"{_SCORES} {_AS_GAUSSIANS} {_ERRORS}", folded=True),
        Picture(found.pulls, accuracy_figures.pulls, "The outermost bins hold all pulls beyond them."),
        Grid(found.sigma, f"{_PARTS} {_ERRORS}", folded=True),
    )


OF_ALL_RUNS = (training_section, spectra_section, rows_section, provenance_section)
"""Chapters that every report ends with, in order."""
