"""The first pass over a grid's files: every template read and checked, so that the second pass only has to write."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import parallel
from starnet_hpc.errors import (
    CoverageError,
    EmptyNodeError,
    GridFormatError,
    MissingInputError,
    ResolutionError,
    StarnetError,
)
from starnet_hpc.grids import GridReader, TemplateSource, TemplateSpectrum, reader_for
from starnet_hpc.ingest.continuum import continuum_at, continuum_nodes
from starnet_hpc.instruments import C_KMS, check_native

UNUSABLE = (GridFormatError, CoverageError, ResolutionError, MissingInputError)
"""What one file alone can have wrong; anything else stops the stage whatever `grid.on_error` says."""

_TREATMENTS = {"vsini": "a rotation", "vrad": "a velocity"}

_FINEST_PERCENTILE = 1.0
"""The finest step is this percentile of the steps: two samples that nearly coincide do not decide a whole grid."""


@dataclass(frozen=True)
class Requirement:
    """What a template must bring to become spectra of an instrument."""

    grid_format: str
    low: float
    """Shortest wavelength needed [angstrom, air]."""
    high: float
    """Longest wavelength needed [angstrom, air]."""
    largest_step_kms: float
    """Samples further apart than this cannot carry the instrument's resolution [km/s]."""
    labels: tuple[str, ...] = ()
    """Names of the labels that the grid varies."""
    sharpest: tuple[float, float] = (0.0, 0.0)
    """Wavelength [angstrom] of the instrument's highest lambda / FWHM, and that."""
    resolution: float | None = None
    """lambda / FWHM that the configuration says templates have already; None: what the files say."""
    cut: tuple[tuple[str, float, float], ...] = ()
    """Label, low, high: templates outside are left out."""


@dataclass(frozen=True)
class Entry:
    """What the census found about one template."""

    source: TemplateSource
    labels: tuple[float, ...] = ()
    """In the order of `Requirement.labels`."""
    step_kms: float = float("nan")
    """Finest step of the samples within the range [km/s]."""
    resolution: float | None = None
    """lambda / FWHM that it has already; None: as sharp as can be."""
    vmicro: float = float("nan")
    """Microturbulence, where the file says it [km/s]: no label, but templates that differ in it are no duplicates."""
    continuum: tuple[NDArray[np.float32], float] | None = field(default=None, compare=False)
    """From `continuum_at`, where the file knows its true continuum."""
    inside_cut: bool = True
    folder: int = 0
    """Which of the grid's folders it is from: 0 is the grid's own."""
    empty: bool = False
    """A node of a lattice that the grid leaves empty."""
    problem: StarnetError | None = None
    """Why it cannot be used."""
    twin: bool = False
    """Whether the problem is that another template has the same labels."""


@dataclass(frozen=True)
class Block:
    """Some templates that one task examines."""

    number: int
    sources: tuple[TemplateSource, ...]


@dataclass(frozen=True)
class Census:
    """The task of the first pass, for `parallel.each`."""

    need: Requirement

    def __call__(self, block: Block) -> list[Entry]:
        """Return an entry for each template of a block; what is wrong with one is noted there, not raised."""
        with parallel.computing():
            reader = reader_for(self.need.grid_format)
            steps = _StepFinder(self.need)
            return [_examine(reader, source, self.need, steps) for source in block.sources]


def usable(entries: Sequence[Entry], *, skip: bool) -> tuple[list[Entry], list[Entry]]:
    """Return the entries to use and those left out for a problem.

    Entries outside the cut and empty nodes are in neither.

    Args:
        entries: of all templates, in their order.
        skip: leave a template with a problem out, instead of raising it.

    Raises:
        StarnetError: the first problem, with the way to skip it; or that two templates have the same labels.
    """
    good: dict[tuple[float, ...], Entry] = {}
    bad: list[Entry] = []
    for entry in _with_twins(entries):
        if entry.problem is None:
            if entry.inside_cut and not entry.empty:
                good[_key(entry)] = entry
        elif skip:
            bad.append(entry)
        else:
            raise advised(entry)
    return list(good.values()), bad


def native_resolution(entries: Sequence[Entry]) -> float | None:
    """Return the lambda / FWHM that all templates have already; None if they are as sharp as can be.

    Raises:
        GridFormatError: they do not have the same.
    """
    first = entries[0]
    for entry in entries:
        if entry.resolution != first.resolution:
            one, other = (f"{e.resolution:g}" if e.resolution else "no limit" for e in (first, entry))
            raise GridFormatError(
                f"{entry.source.path}: says that its resolution (lambda / FWHM) is {other}, but that of "
                f"{first.source.name} is {one}; a grid has one: keep files of one resolution, or set grid.resolution "
                f"to the one that all have in truth"
            )
    return first.resolution


def advised(entry: Entry, introduction: str = "") -> StarnetError:
    """Return an entry's problem as an error, behind an introduction or else with the way to go on without the file."""
    advice = "" if introduction else "\n(with grid.on_error: skip such files are reported and left out)"
    return type(entry.problem or StarnetError())(f"{introduction}{entry.problem}{advice}")


def _examine(reader: GridReader, source: TemplateSource, need: Requirement, steps: "_StepFinder") -> Entry:
    try:
        template = reader.read(source, (need.low, need.high))
        labels = _labels(template, source, need)
        _refuse_treated(template, source)
        if any(not low <= template.labels[name] <= high for name, low, high in need.cut):
            return Entry(source, labels, inside_cut=False)
        resolution = need.resolution or template.resolution
        check_native(resolution, need.sharpest, str(source.path))
        vmicro = float(template.extra.get("vmicro", float("nan")))
        try:
            step = steps.finest(template.wavelength, source)
        except CoverageError:
            # The window has cut what was read; how far the whole file reaches is what helps.
            steps.finest(reader.read(source).wavelength, source)
            raise
        continuum = continuum_at(template, continuum_nodes(need.low, need.high))
        return Entry(source, labels, step, resolution, vmicro, continuum)
    except EmptyNodeError:
        return Entry(source, empty=True)
    except UNUSABLE as problem:
        return Entry(source, problem=problem)


def _labels(template: TemplateSpectrum, source: TemplateSource, need: Requirement) -> tuple[float, ...]:
    missing = [name for name in need.labels if name not in template.labels]
    if missing:
        raise GridFormatError(
            f"{source.path}: does not say {', '.join(missing)}, which the grid's other files vary (this one has "
            f"{', '.join(template.labels)}); put it into another folder"
        )
    return tuple(float(template.labels[name]) for name in need.labels)


def _refuse_treated(template: TemplateSpectrum, source: TemplateSource) -> None:
    """Refuse a template that rotates or moves already: the augmentation draws both, as labels."""
    for name, what in _TREATMENTS.items():
        if template.extra.get(name, 0.0) != 0.0:
            raise GridFormatError(
                f"{source.path}: has {what} of {template.extra[name]:g} km/s already, which the augmentation adds and "
                f"takes for a label; get the spectrum without it"
            )


def _with_twins(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the entries, those whose labels were there before with that as their problem."""
    seen: dict[tuple[float, ...], Entry] = {}
    for entry in entries:
        if entry.problem is not None or entry.empty or not entry.inside_cut:
            yield entry
            continue
        first = seen.setdefault(_key(entry), entry)
        if first is entry:
            yield entry
            continue
        same = "labels" if math.isnan(entry.vmicro) else "labels and microturbulence"
        other = first.source.name if first.folder == entry.folder else first.source.path
        twin = f"{entry.source.path}: has the same {same} {_key(entry)} as {other}; keep one of the two"
        yield replace(entry, problem=GridFormatError(twin), twin=True)


def _key(entry: Entry) -> tuple[float, ...]:
    known = entry.labels if math.isnan(entry.vmicro) else (*entry.labels, entry.vmicro)
    return tuple(round(value, 6) + 0.0 for value in known)  # + 0.0: minus zero is zero


class _StepFinder:
    """Coverage and steps of wavelengths; files of one grid share theirs, so that the last answer is mostly the next."""

    def __init__(self, need: Requirement) -> None:
        self._need = need
        self._wavelength: NDArray[np.float64] = np.empty(0)
        self._finest = float("nan")

    def finest(self, wavelength: NDArray[np.float64], source: TemplateSource) -> float:
        """Return the finest step within the range [km/s].

        Raises:
            CoverageError: the range is not covered.
            ResolutionError: samples are too far apart for the instrument, or there is a gap.
        """
        if not np.array_equal(wavelength, self._wavelength):
            self._finest = self._examine(wavelength, source)
            self._wavelength = wavelength
        return self._finest

    def _examine(self, wavelength: NDArray[np.float64], source: TemplateSource) -> float:
        need = self._need
        if wavelength[0] > need.low or wavelength[-1] < need.high:
            in_nm = wavelength[0] * 10 <= need.low and wavelength[-1] * 10 >= need.high
            raise CoverageError(
                f"{source.path}: covers {wavelength[0]:.2f} to {wavelength[-1]:.2f} A, but {need.low:.2f} to "
                f"{need.high:.2f} A is needed (the instrument's range plus room for augment.vrad_max, "
                f"augment.vsini_max and the line spread); use a grid that covers it, a narrower instrument, "
                f"or smaller velocities{' (or are these wavelengths in nm? Then convert them)' if in_nm else ''}"
            )
        first = int(np.searchsorted(wavelength, need.low, side="right")) - 1
        last = int(np.searchsorted(wavelength, need.high)) + 1
        part = wavelength[first:last]
        steps = C_KMS * np.diff(part) / part[:-1]
        widest = int(np.argmax(steps))
        if steps[widest] > need.largest_step_kms:
            raise ResolutionError(
                f"{source.path}: samples at {part[widest]:.3f} and {part[widest + 1]:.3f} A are "
                f"{steps[widest]:.2f} km/s apart, but the instrument's resolution needs steps of "
                f"{need.largest_step_kms:.2f} km/s or less: there is a gap, or the grid is too coarse for it"
            )
        return float(np.percentile(steps, _FINEST_PERCENTILE))
