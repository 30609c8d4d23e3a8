"""The stage `evaluate`: stores and catalogues in; tables, figures and the report out."""

from collections.abc import Mapping
from pathlib import Path

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import benchmarks, growth, page, rows, sections
from starnet_hpc.evaluate.accuracy import Accuracy, assess
from starnet_hpc.evaluate.document import Section, Text
from starnet_hpc.evaluate.files import write_files
from starnet_hpc.evaluate.gap import gap_section
from starnet_hpc.evaluate.grids import grids_section
from starnet_hpc.evaluate.inputs import Inputs, Survey, read_inputs
from starnet_hpc.evaluate.others import others_section, others_table
from starnet_hpc.evaluate.sample import SnrBin, snr_bins
from starnet_hpc.evaluate.science import science_sections
from starnet_hpc.evaluate.science.published import other_labels
from starnet_hpc.evaluate.sensitivities import sensitivities_section
from starnet_hpc.evaluate.tables import Table
from starnet_hpc.evaluate.velocities import velocities_section
from starnet_hpc.evaluate.verdict import verdict
from starnet_hpc.progress import stage_log
from starnet_hpc.stores import write_atomically

FEWEST_REFERENCES = 30
"""A survey with fewer rows with reference labels (besides benchmark stars) is not compared with them."""

_HELD_OUT = "held-out synthetic spectra"


def evaluate(config: ExperimentConfig) -> Path:
    """Write the report of a run, and its tables and figures as files; return the path of `report.html`.

    Raises:
        MissingInputError: a store, catalogue or history is not there; the message says which command makes it.
        StoreIncompleteError: a store was never finished.
        StoreMismatchError: a catalogue does not belong to its store.
    """
    with stage_log("evaluate", config.run_dir) as log:
        inputs = read_inputs(config)
        survey_rows = f"a survey of {len(inputs.survey.catalogue)}" if inputs.survey else "no survey"
        log.info("read predictions of %d held-out spectra and %s", len(inputs.test.catalogue), survey_rows)
        test = assess("test", _HELD_OUT, inputs.test.sample, *_scales(inputs))
        chapters = sections.accuracy_sections(test, growth.picture(inputs), inputs.validations)
        compared, stars = None, None
        if inputs.survey is not None:
            compared, chapter = _survey(inputs, inputs.survey)
            chapters.append(chapter)
            if inputs.survey.benchmarks.any():
                stars, chapter = _benchmarks(inputs, inputs.survey)
                chapters.append(chapter)
        chapters += science_sections(inputs)
        chapters += sensitivities_section(inputs)
        chapters += gap_section(inputs)
        if inputs.shifted:
            chapters.append(velocities_section(inputs))
        others = others_table(inputs) if inputs.others else None
        if others is not None:
            chapters.append(others_section(others))
        if config.evaluate.compare_grids:
            chapters.append(grids_section(config, inputs.instrument))
            for block in chapters[-1].blocks:
                if isinstance(block, Text):
                    log.warning("%s", block.words)
        chapters += [make(inputs) for make in sections.OF_ALL_RUNS]
        found = verdict(inputs, test, compared, stars, others)

        # The page comes last: when it is there, all that it points to is there.
        with log.bar("figures", sum(1 for chapter in chapters for _ in chapter.pictures()), "figures") as bar:
            images = write_files(config.run_dir / page.FOLDER, chapters, lambda name: bar.advance(1, name))
        subtitle = f"Evaluation of an ensemble of {config.ensemble.members} on {inputs.instrument.name}"
        text = page.render(config.name, subtitle, found, chapters, images)
        report = config.run_dir / "report.html"
        write_atomically(report, lambda file: file.write(text.encode()))
        for line in [*found.lines(), "", *test.glance.lines(), "", f"report: {report}"]:
            log.info("%s", line)
        return report


def _survey(inputs: Inputs, survey: Survey) -> tuple[Accuracy | None, Section]:
    """Return the accuracy of a survey against its references, if it has enough of them, and its chapter."""
    limits, apart = inputs.config.evaluate.sigma_limits, survey.benchmarks
    cuts, kept = rows.cuts("survey_cuts", "Cuts on the survey", survey.sample, limits, apart)
    sample = survey.sample[kept & ~apart]
    compared = None
    if max((int(sample.known(label).sum()) for label in sample.labels), default=0) >= FEWEST_REFERENCES:
        compared = assess("survey", "the survey against its reference labels", sample, *_scales(inputs))
    return compared, sections.survey_section(inputs, survey, compared, cuts)


def _benchmarks(inputs: Inputs, survey: Survey) -> tuple[Table, Section]:
    """Return the table of benchmark stars and its chapter."""
    stars, groups = benchmarks.of_survey(inputs, survey)
    others = other_labels(inputs.config, survey, (stars, groups), benchmarks.ranges_of(inputs))
    return stars, sections.benchmark_section(stars, groups, others)


def _scales(inputs: Inputs) -> tuple[tuple[SnrBin, ...], Mapping[str, float], dict[str, tuple[float, float]]]:
    """Return what errors are measured by: S/N bins, the labels' standard deviations in training, and trained ranges."""
    training = inputs.training
    return snr_bins(inputs.config.evaluate.snr_edges), training.std, training.ranges
