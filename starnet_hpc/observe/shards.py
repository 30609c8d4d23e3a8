"""The unit of work of the observe stage: one whole shard of observed spectra."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel
from starnet_hpc.config import AugmentConfig, InstrumentConfig, SurveyConfig
from starnet_hpc.errors import CoverageError, MissingInputError, ObservationFormatError, ResolutionError
from starnet_hpc.flags import Flag
from starnet_hpc.observations import Declared, read_observation, settled
from starnet_hpc.observe.reduction import Reduction, SurveyRow, reduction_for
from starnet_hpc.stores import Layout, write_shard

_COLUMNS: dict[str, tuple[str, type[Any]]] = {
    "snr": ("snr", np.float64),
    "flags": ("flags", np.uint32),
    "masked_fraction": ("masked_fraction", np.float64),
    "cosmics": ("cosmics", np.int32),
    "frame": ("frame", np.str_),
    "remark": ("remark", np.str_),
}
"""Columns that only the shards can tell."""


@dataclass(frozen=True)
class Shard:
    """One shard's number, and what is known about its rows before their files are read."""

    number: int
    paths: tuple[Path, ...]
    snr: tuple[float, ...]
    """As the user gives it, NaN where unknown."""


@dataclass(frozen=True)
class ShardSummary:
    """What a shard tells the log."""

    rows: int
    problems: tuple[str, ...]
    """Why rows could not be used."""


@dataclass(frozen=True)
class ShardReduction:
    """The task of the stage, for `parallel.each`."""

    path: Path
    """The store."""
    layout: Layout
    recipe_digest: str
    files: "FileReduction"
    """What each file goes through."""

    def __call__(self, shard: Shard) -> ShardSummary:
        """Read, reduce and write the spectra of one shard.

        Raises:
            ConfigError: neither the configuration nor a header says what a spectrum's wavelengths mean.
            ObservationFormatError, MissingInputError, CoverageError, ResolutionError: a file cannot be used, and such
                files are not to be flagged.
        """
        with parallel.computing():
            flux, facts, problems = self._reduced(shard)
        write_shard(self.path, self.layout, self.recipe_digest, shard.number, flux, facts)
        return ShardSummary(len(shard.paths), tuple(problems))

    def _reduced(self, shard: Shard) -> tuple[NDArray[np.floating[Any]], dict[str, list[Any]], list[str]]:
        """Return the fluxes [rows, pixels] of a shard, what its marker keeps, and why rows could not be used."""
        flux = np.zeros((len(shard.paths), self.layout.pixels), dtype=self.layout.dtype)
        facts: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        problems = []
        for k, (path, snr) in enumerate(zip(shard.paths, shard.snr, strict=True)):
            row, frame, remark = self.files.row(path, snr)
            flux[k] = row.flux
            facts["snr"].append(row.snr if math.isfinite(row.snr) else None)
            facts["flags"].append(int(row.flags))
            facts["masked_fraction"].append(row.masked_fraction)
            facts["cosmics"].append(row.cosmics)
            facts["frame"].append(frame)
            facts["remark"].append(remark)
            if row.flags & (Flag.UNREADABLE | Flag.BAD_INPUT):
                problems.append(remark)
        return flux, facts, problems


@dataclass(frozen=True)
class FileReduction:
    """What one file of a survey goes through; the same for a row of the store and for a spectrum that comes alone."""

    instrument: InstrumentConfig
    augment: AugmentConfig
    observation_format: str | None
    """None asks each file."""
    declared: Declared
    """What the user says of wavelengths."""
    cosmics: bool
    """Whether spikes are masked."""
    flag_problems: bool
    """Whether a file that cannot be used becomes a flagged row instead of an error."""

    @classmethod
    def of(cls, survey: SurveyConfig, instrument: InstrumentConfig, augment: AugmentConfig) -> "FileReduction":
        """Return what the files of a survey go through."""
        return cls(
            instrument=instrument,
            augment=augment,
            observation_format=survey.format,
            declared=Declared(medium=survey.medium, frame=survey.frame),
            cosmics=survey.cosmics,
            flag_problems=survey.on_error == "flag",
        )

    def row(self, path: Path, snr: float) -> tuple[SurveyRow, str, str]:
        """Return a row, its velocity frame, and what should be said about it.

        Args:
            path: of the file.
            snr: signal-to-noise ratio a pixel that the user gives; NaN takes the file's, or an estimate.

        Raises:
            ConfigError, ObservationFormatError, MissingInputError, CoverageError, ResolutionError: as for a shard.
        """
        reduction = reduction_for(self.instrument, self.augment)
        try:
            spectrum = settled(read_observation(path, self.observation_format), self.declared, path)
            row = reduction.row(spectrum, snr, cosmics=self.cosmics)
        except (ObservationFormatError, MissingInputError, CoverageError, ResolutionError) as problem:
            if not self.flag_problems:
                advice = "with survey.on_error: flag such files become flagged rows"
                raise type(problem)(f"{problem}\n({advice})") from None
            return _flagged(reduction, problem), "", str(problem)
        remark = "; ".join(spectrum.remarks)
        if row.flags & Flag.BAD_INPUT:
            remark = f"{path}: not one pixel within the instrument's range can be used"
            if not self.flag_problems:
                raise ObservationFormatError(remark)
        return row, str(spectrum.frame), remark


def merged_columns(facts: Iterable[dict[str, list[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the columns [rows] that the shards' markers hold, in the order of the rows."""
    lists: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for shard in facts:
        for name, values in lists.items():
            values.extend(math.nan if value is None else value for value in shard[name])
    return {column: np.array(lists[name], dtype=kind) for name, (column, kind) in _COLUMNS.items()}


def flag_counts(flags: NDArray[np.uint32]) -> dict[str, int]:
    """Return how many rows [n] carry each flag, by the flag's name."""
    counts = Counter({flag.name or "": int(np.count_nonzero(flags & flag.value)) for flag in Flag})
    return {name: count for name, count in counts.items() if count}


def _flagged(reduction: Reduction, problem: Exception) -> SurveyRow:
    flag = Flag.BAD_INPUT | Flag.PARTIAL_COVERAGE if isinstance(problem, CoverageError) else Flag.UNREADABLE
    return reduction.nothing(flag)
