"""Watch: labels of each spectrum within seconds of its arrival in a folder, for whoever is at the telescope."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig, SurveyConfig
from starnet_hpc.errors import ConfigError, StarnetError
from starnet_hpc.flags import Flag
from starnet_hpc.instruments import Instrument, load_instrument
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.launch.arrivals import Arrivals, check_folder
from starnet_hpc.launch.rundir import refuse_other
from starnet_hpc.launch.watcher import OWN_FIELDS, Known, Watcher
from starnet_hpc.observations import ObservedSpectrum, spectra_endings
from starnet_hpc.observe import FileReduction, survey_settings
from starnet_hpc.observe.reduction import Reduction, reduction_for
from starnet_hpc.predict import Ensemble, load_ensemble, members_there
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import Field, Kind, growing_table

_CATALOGUE = "watch_catalogue.ecsv"
_KINDS: dict[str, Kind] = {"U": "string", "f": "float64", "i": "int64"}


def watch(
    config: ExperimentConfig,
    folder: Path,
    *,
    once: bool,
    interval_s: float,
    patience_s: float,
    catalogue: Path | None,
) -> Path:
    """Predict the spectra in a folder and those that arrive, until a signal comes; return the catalogue.

    Every file gets a row, also one that cannot be used; a file that changes afterwards gets a further row. A row is on
    the disk before its line is told. What the catalogue has is not predicted again.

    Args:
        config: of the experiment; its section `survey` says what `observe` would make of the files.
        folder: where spectra arrive.
        once: end when the files that are there now have their rows.
        interval_s: between two looks at the folder [s]; a file is read when two of them saw the same.
        patience_s: how long a file that cannot be used must have stayed unchanged to get its row [s]: transfers stall,
            and go on.
        catalogue: file to write to; None is `watch_catalogue.ecsv` in the run directory.

    Raises:
        ConfigError: there is no section `survey`, or nothing says what wavelengths mean (medium, velocity frame).
        MissingInputError: the folder or members are not there.
        StoreMismatchError: members have other pixels than the instrument, or the catalogue was made with other members
            or settings.
        RunDirectoryBusyError: another process writes this catalogue.
        StorageFullError: there is no space for a row.
    """
    if config.survey is None:
        raise ConfigError(
            "survey: this section is missing; `watch` reads files as `observe` does, and needs to know their format, "
            "frame and medium"
        )
    refuse_other(config)
    check_folder(folder)
    there = members_there(config)
    path = catalogue or config.run_dir / _CATALOGUE
    with stage_log("watch", config.run_dir) as log:
        ensemble = load_ensemble(config, there, log)
        with (
            stop_requests(keyboard=True) as stop,
            opened_watcher(config, config.survey, folder, path, ensemble, log, patience_s=patience_s) as watcher,
        ):
            what = "what is there" if once else "until Ctrl-C"
            log.info("watching %s (%s); %s has %d rows", folder, what, path, watcher.known.rows)
            watcher.run(stop, once=once, interval_s=interval_s)
            watcher.tell_summary(stop)
    return path


@contextlib.contextmanager
def opened_watcher(
    config: ExperimentConfig,
    survey: SurveyConfig,
    folder: Path,
    catalogue: Path,
    ensemble: Ensemble,
    log: StageLog,
    *,
    patience_s: float,
) -> Iterator[Watcher]:
    """Give what looks at a folder, with the catalogue open and everything ready for the first spectrum.

    Raises:
        StoreMismatchError, StoreDamagedError: the catalogue was made with other members or settings, or is damaged.
        RunDirectoryBusyError: another process writes it.
        ConfigError: segments of the continuum do not suit the instrument.
    """
    instrument = load_instrument(config.instrument)
    if config.augment.continuum == "clip":
        instrument.check_segments(config.augment.continuum_segment)
    files = replace(FileReduction.of(survey, instrument.config, config.augment), flag_problems=True)
    fields = _warm_up(reduction_for(files.instrument, files.augment), ensemble, config.augment.dtype)
    known = Known()
    facts = _facts(config, survey, instrument, ensemble)
    with growing_table(catalogue, fields, facts, each=known.remember) as table:
        if table.torn:
            log.warning("%s: its last line was torn (%d bytes) and was taken away", catalogue, table.torn)
        arrivals = Arrivals(folder, spectra_endings(survey.format), patience_s)
        yield Watcher(arrivals, files, ensemble, table, known, log)


def _facts(
    config: ExperimentConfig, survey: SurveyConfig, instrument: Instrument, ensemble: Ensemble
) -> dict[str, Any]:
    """Return what all rows of a catalogue have in common."""
    # How files are looked for may change from night to night; what the numbers mean may not.
    settings = survey_settings(config, survey, instrument)
    settings["survey"] = {name: settings["survey"][name] for name in ("frame", "medium", "cosmics")}
    return {
        "experiment": config.name,
        "seed": config.seed,
        "instrument": instrument.name,
        "members": ensemble.digest,
        "rest_frame": ensemble.rest.digest if ensemble.rest else "",
        "limits": {
            key: value for key, (value, _) in ensemble.standards.header(ensemble.trained_on.label_names).items()
        },
        "settings": provenance.digest_recipe(settings),
        "flags": {str(flag.name): flag.value for flag in Flag},
    }


def _warm_up(reduction: Reduction, ensemble: Ensemble, dtype: str) -> list[Field]:
    """Return the catalogue's columns, after a spectrum without lines has gone the way of all others.

    Tables, compiled kernels and networks are then ready, for which the first spectrum would have to wait.
    """
    pixels = reduction.instrument.wavelength
    flat = ObservedSpectrum(
        wavelength=pixels,
        flux=np.ones(pixels.size),
        error=None,
        bad=np.zeros(pixels.size, dtype=bool),
        snr=None,
        identifier="",
        frame="rest",
        source="",
        medium="air",
    )
    row = reduction.nothing(Flag(0))
    with contextlib.suppress(StarnetError):  # pixels of coarse instruments are too wide to be observed as spectra
        row = reduction.row(flat, float("nan"))
    columns = ensemble.columns([""], row.flux.astype(dtype)[None], np.array([row.snr]), np.zeros(1, dtype=np.int32))
    found = [Field(c.name, _KINDS[c.values.dtype.kind], c.unit, c.description) for c in columns]
    return [found[0], OWN_FIELDS[0], *found[1:], *OWN_FIELDS[1:]]
