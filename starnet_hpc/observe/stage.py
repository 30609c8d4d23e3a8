"""Stage `observe`: files of observed spectra in, `survey.zarr` out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starnet_hpc import parallel, provenance
from starnet_hpc.config import ExperimentConfig, SurveyConfig
from starnet_hpc.errors import ConfigError, InterruptedRunError, MissingInputError, ObservationFormatError
from starnet_hpc.flags import Flag
from starnet_hpc.grids.fitsfile import identity
from starnet_hpc.instruments import CONTINUUM_SETTINGS, Instrument, load_instrument
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.labels import LABELS
from starnet_hpc.observations import Listing, listing_of
from starnet_hpc.observe.examples import keep_survey_examples
from starnet_hpc.observe.readme import survey_readme
from starnet_hpc.observe.reduction import Reduction
from starnet_hpc.observe.shards import FileReduction, Shard, ShardReduction, flag_counts, merged_columns
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Layout, StoreBuild, building, finished, open_store

_STAGE_FORMAT = 4
"""Raised when the same inputs would give another store."""
FILES_PER_WORKER = 2_000
"""One process reduces this many spectra before a further worker has even started."""
_MOST_LISTED = 20
_SNR_DEFINITION = (
    "a pixel's: as the manifest or else the file says it; else the median of flux over error; else by DER_SNR "
    "(Stoehr et al. 2008) from second differences of pixels two apart; NaN where none of these can be told"
)


def observe(config: ExperimentConfig, *, sample: int | None = None) -> Path:
    """Make `survey.zarr` from the observed spectra of a survey, and return its path.

    Every file is a row, in the order of the manifest or of the files' names; one that cannot be used is a row of zeros
    with a flag, if `survey.on_error` says so. A store that an earlier run finished is left as it is, also if its files
    are gone since, provided that its settings are these.

    Args:
        config: of the experiment.
        sample: take only so many spectra, spread over the survey.

    Raises:
        ConfigError: there is no section `survey`, or nothing says what wavelengths mean (medium, velocity frame).
        MissingInputError: the folder, the manifest or a file is not there.
        ObservationFormatError: a file or the manifest is not what it should be, or no file at all can be used.
        CoverageError, ResolutionError: a spectrum does not fit the instrument.
        StoreMismatchError: the run directory holds a survey made from something else.
        InterruptedRunError: a signal asked to stop; finished shards are kept.
    """
    if config.survey is None:
        raise ConfigError("survey: this section is missing; `observe` needs to know where the observed spectra are")
    with stage_log("observe", config.run_dir) as log:
        instrument = load_instrument(config.instrument)
        path, settings = config.store("survey"), survey_settings(config, config.survey, instrument)
        try:
            listing = listing_of(config.survey).sample(sample)
        except MissingInputError as gone:
            if not _stays(path, settings, str(gone), log):
                raise
            return path
        if all(identity(file)[0] < 0 for file in listing.paths):  # the first one answers, mostly
            why = f"{config.survey.manifest}: none of the {len(listing)} files that it lists can be read"
            if _stays(path, {**settings, "known": _known(listing)}, why, log):
                return path
        if listing.ignored:
            log.warning("columns of %s that nothing reads: %s", config.survey.manifest, ", ".join(listing.ignored))
        for remark in listing.remarks:
            log.warning("%s", remark)
        if config.augment.continuum == "clip":
            instrument.check_segments(config.augment.continuum_segment)
        return _build(config, config.survey, instrument, listing, log)


def _build(
    config: ExperimentConfig, survey: SurveyConfig, instrument: Instrument, listing: Listing, log: StageLog
) -> Path:
    path = config.store("survey")
    layout = Layout(
        len(listing), instrument.wavelength.size, min(survey.shard_rows, len(listing)), config.augment.dtype
    )
    with building(
        path,
        recipe=_recipe(config, survey, instrument, listing),
        layout=layout,
        wavelength=instrument.wavelength,
        columns={
            "id": np.array(listing.ids, dtype=np.str_),
            "group": np.array(listing.group, dtype=np.str_),
            "source": np.array([path.name for path in listing.paths], dtype=np.str_),
            "reference": listing.reference,
            "reference_error": listing.reference_error,
        },
        attributes={
            "readme": survey_readme(layout, _SNR_DEFINITION),
            "label_names": list(LABELS),
            "instrument": instrument.name,
            "snr_definition": _SNR_DEFINITION,
        },
    ) as build:
        if build.complete:
            _say_finished(log, path)
            _keep_examples(config, survey, instrument, listing, log, again=False)
            return path
        log.info("%d observed spectra", len(listing))
        task = ShardReduction(
            path=path,
            layout=layout,
            recipe_digest=build.recipe_digest,
            files=FileReduction.of(survey, instrument.config, config.augment),
        )
        try:
            _run(config, log, build, task, listing)
        except ConfigError:
            build.discard()  # the answer makes another recipe, which what is begun would contradict
            raise
        _finish(log, build)
        _keep_examples(config, survey, instrument, listing, log, again=True)
    return path


def _keep_examples(
    config: ExperimentConfig,
    survey: SurveyConfig,
    instrument: Instrument,
    listing: Listing,
    log: StageLog,
    *,
    again: bool,
) -> None:
    path = config.run_dir / "survey_examples.npz"
    if again or not path.exists():
        flags = open_store(config.store("survey"), made_by="observe").column("flags")
        keep_survey_examples(path, Reduction(instrument, config.augment), listing, flags, survey, log)


def _recipe(config: ExperimentConfig, survey: SurveyConfig, instrument: Instrument, listing: Listing) -> dict[str, Any]:
    """Return what the content is a function of; files count by name and `identity`, so that their folder may move."""
    return {
        **survey_settings(config, survey, instrument),
        "files": {
            "count": len(listing),
            "digest": provenance.digest_recipe(
                {
                    "listing": [
                        [name, path.name, *identity(path)]
                        for name, path in zip(listing.ids, listing.paths, strict=True)
                    ]
                }
            ),
        },
        "known": _known(listing),
    }


def survey_settings(config: ExperimentConfig, survey: SurveyConfig, instrument: Instrument) -> dict[str, Any]:
    """Return the part of the recipe of `survey.zarr` that is known without the files."""
    return {
        "stage": f"observe {_STAGE_FORMAT}",
        "instrument": instrument.recipe(),
        "continuum": config.augment.model_dump(mode="json", include={*CONTINUUM_SETTINGS, "dtype"}),
        "survey": survey.model_dump(
            mode="json", include={"format", "frame", "medium", "cosmics", "on_error", "shard_rows"}
        ),
    }


def _known(listing: Listing) -> str:
    """Return the digest of what the manifest says about the spectra."""
    known = [listing.snr, listing.reference, listing.reference_error]
    return provenance.digest_recipe(
        {"values": [provenance.digest_array(values) for values in known], "groups": list(listing.group)}
    )


def _stays(path: Path, settings: dict[str, Any], why: str, log: StageLog) -> bool:
    """Say whether a finished store of these settings is there, which stays as it is though its files are gone."""
    there = finished(path, settings)
    if there:
        log.warning("%s; %s is complete and was made with these settings: it stays as it is", why, path)
    return there


def _run(config: ExperimentConfig, log: StageLog, build: StoreBuild, task: ShardReduction, listing: Listing) -> None:
    shards = []
    for number in build.missing():
        rows = build.layout.rows_of(number)
        part = slice(rows.start, rows.stop)
        shards.append(Shard(number, listing.paths[part], tuple(listing.snr[part].tolist())))
    left = sum(len(shard.paths) for shard in shards)
    worth = max(1, left // FILES_PER_WORKER)
    told = 0
    with (
        stop_requests() as stop,
        parallel.workers(config, tasks=len(shards), worth=worth, stop=lambda: bool(stop)) as pool,
        log.bar("observe", len(listing), "spectra", len(listing) - left) as bar,
    ):
        for _, summary in pool.each(task, shards):
            bar.advance(summary.rows)
            for problem in summary.problems[: max(_MOST_LISTED - told, 0)]:
                log.warning("flagged: %s", problem)
            told += len(summary.problems)
    if told > _MOST_LISTED:
        log.warning("... and %d more; column `remark` of the store has all", told - _MOST_LISTED)
    if stop and build.missing():
        name = stop.signal.name if stop.signal else "a signal"
        raise InterruptedRunError(f"{build.path}: stopped by {name}; run the same command again to go on")


def _finish(log: StageLog, build: StoreBuild) -> None:
    """Write the columns that the shards told, and close the store.

    Raises:
        ObservationFormatError: not one spectrum can be used; nothing is kept.
    """
    columns = merged_columns(build.facts())
    unusable = (columns["flags"] & (Flag.UNREADABLE | Flag.BAD_INPUT)) != 0
    if unusable.all():
        build.discard()
        raise ObservationFormatError(f"none of {unusable.size} spectra can be used; the first: {columns['remark'][0]}")
    counts = flag_counts(columns["flags"])
    snr = columns["snr"][np.isfinite(columns["snr"])]
    quantiles = {f"{share} %": float(np.percentile(snr, share)) for share in (5, 25, 50, 75, 95)} if snr.size else {}
    build.finalise(columns, flag_counts=counts, snr_quantiles=quantiles)
    for remark, count in _most_common(columns["remark"][~unusable].tolist()):
        log.warning("%s (%d spectra)", remark, count)
    if hits := int(columns["cosmics"].sum()):
        log.info("cosmic particles: %d pixels masked in %d spectra", hits, np.count_nonzero(columns["cosmics"]))
    if quantiles:
        log.info("S/N a pixel: %s", ", ".join(f"{value:.0f} ({share})" for share, value in quantiles.items()))
    for name, count in counts.items():
        log.info("%s: %d spectra", name, count)
    log.info("%s: %d spectra, %d of them usable", build.path, unusable.size, np.count_nonzero(~unusable))


def _most_common(remarks: Sequence[str]) -> list[tuple[str, int]]:
    names, counts = np.unique([remark for remark in remarks if remark], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_LISTED]
    return [(str(names[k]), int(counts[k])) for k in order]


def _say_finished(log: StageLog, path: Path) -> None:
    store = open_store(path, made_by="observe")
    log.info("%s: complete (%d spectra); nothing to do", path, len(store))
    if bad := store.attributes.get("flag_counts", {}).get("UNREADABLE"):
        log.warning("%d files could not be read; remove the store to have them tried again", bad)
