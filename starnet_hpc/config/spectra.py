"""Sections that say which spectra are made: grid, instrument, augment."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from starnet_hpc.config.base import Interval, Section, UserPath, expanded
from starnet_hpc.config.resolution import Resolution
from starnet_hpc.labels import GRID_LABELS

GridFormat = Literal["intrigoss", "phoenix", "ambre", "ferre", "mpia_nlte", "mpia_lte", "table"]


def _scheduler(text: str) -> str:
    if text.endswith(".json"):
        return str(expanded(text))
    if text not in {"local", "slurm", "mpi"} and "://" not in text:
        raise ValueError(
            f"is local, slurm, mpi, an address like tcp://host:8786, or the path of a scheduler's .json file; "
            f"got {text!r}"
        )
    return text


class LabelCut(Section):
    """Ranges of labels to keep; templates outside are left out, and nothing is trained there."""

    teff: Interval | None = None
    """Effective temperature [K]."""
    logg: Interval | None = None
    """log g [dex, cgs]."""
    feh: Interval | None = None
    """[Fe/H] [dex]."""
    afe: Interval | None = None
    """[alpha/Fe] [dex]."""
    elements: dict[str, Interval] = Field(default_factory=dict)
    """[X/Fe] of single elements, where the grid varies them [dex]; names such as mg_fe."""

    def given(self) -> dict[str, tuple[float, float]]:
        """Return the ranges that were set, by label name."""
        ranges = {name: getattr(self, name) for name in GRID_LABELS}
        return {name: value for name, value in ranges.items() if value is not None} | self.elements


class ExtraGrid(Section):
    """A further folder of templates (rare stars, off-grid nodes) that join the grid's own in `grid.zarr`.

    `on_error`, `step_kms` and `resolution` are the grid's.
    """

    format: GridFormat
    """Layout of the files; it must vary the same labels as the grid's own."""
    path: UserPath
    """Folder with the files; its last name stands before the files' names in the store."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Each of these templates is used this many times as often as one of the grid's own."""
    cut: LabelCut = LabelCut()
    """Ranges of labels to keep; the grid's own `cut` does not hold here."""


class GridConfig(Section):
    """The synthetic grid: files in, `grid.zarr` out (stage `ingest`)."""

    format: GridFormat
    """Layout of the files (docs/grids.md)."""
    path: UserPath
    """Folder with the grid's files."""
    cut: LabelCut = LabelCut()
    """Ranges of labels to keep."""
    on_error: Literal["raise", "skip"] = "raise"
    """What a file that cannot be used does: stop the stage, or be reported and left out."""
    step_kms: Annotated[float, Field(gt=0, le=20)] | None = None
    """Step of the ln(wavelength) grid [km/s]; by default the finest step of the files themselves."""
    resolution: Annotated[float, Field(gt=100)] | None = None
    """lambda / FWHM that the templates have been smoothed to already: they get only what they lack behind the
    instrument. By default what the files say, and where they say nothing, templates are as sharp as can be."""
    extra: tuple[ExtraGrid, ...] = ()
    """Further folders of templates, each with a weight: how often they are used, against 1 for those in `path`."""

    @model_validator(mode="after")
    def _check_folders(self) -> Self:
        for k, folder in enumerate(self.extra):
            if folder.path == self.path:
                raise ValueError(f"extra[{k}].path: is grid.path itself; extra folders hold other templates")
            if folder.path.name in [other.path.name for other in self.extra[:k]]:
                raise ValueError(
                    f"extra[{k}].path: another extra folder is called {folder.path.name!r}, too, and templates are "
                    f"named by their folder; give it another name, or a link with another name"
                )
        return self


FEWEST_PIXELS = 16
"""Pixels that an arm needs at least."""


def is_list_name(text: str) -> bool:
    """Whether a value of `strong_lines` or `tellurics` names a list of the package's, and is not the path of a file."""
    return re.fullmatch(r"[A-Za-z0-9_-]+", text) is not None


def _list_or_path(text: str) -> str:
    return text if is_list_name(text) else str(expanded(text))


def _kind_of_windows(value: Any) -> str:
    return "listed" if isinstance(value, str | Path) else "windows"


Windows = Annotated[
    Annotated[tuple[Interval, ...], Tag("windows")] | Annotated[str, AfterValidator(_list_or_path), Tag("listed")],
    Discriminator(_kind_of_windows),
]
"""Windows [angstrom, air]: [low, high] each, or the name of a list of the package's, or the path of a file."""

UserWindows = Annotated[
    Annotated[tuple[Interval, ...], Tag("windows")] | Annotated[UserPath, Tag("listed")],
    Discriminator(_kind_of_windows),
]
"""Windows [angstrom, air]: [low, high] each, or the path of a file, of which the package has none."""


class WavelengthArm(Section):
    """One stretch of pixels: by a rule (`start`, `step`, and `count` or `stop`), or the pixel centres in a `file`."""

    start: Annotated[float, Field(gt=0)] | None = None
    """Centre of the first pixel [`unit`]."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Distance of pixel centres: in `unit` if linear, km/s if logarithmic."""
    count: Annotated[int, Field(ge=FEWEST_PIXELS)] | None = None
    """Number of pixels."""
    stop: Annotated[float, Field(gt=0)] | None = None
    """Instead of `count`: the last pixel is the last one whose centre is not beyond this [`unit`]."""
    spacing: Literal["linear", "logarithmic"] = "linear"
    """Pixels of equal width in wavelength, or in ln(wavelength)."""
    file: UserPath | None = None
    """Text, .npy or FITS file of pixel centres; a relative path starts at the folder of the instrument's YAML file."""
    column: str | None = None
    """Column of the file, by its heading; by default the first one."""
    unit: Literal["angstrom", "nm", "um"] | None = None
    """Unit of start, stop, linear steps, and of the file; by default what the file says, else angstrom."""
    medium: Literal["air", "vacuum"] = "air"
    """What the wavelengths are measured in; those in vacuum are converted to air."""

    @model_validator(mode="after")
    def _check_alternatives(self) -> Self:
        rule = [name for name in ("start", "step", "count", "stop") if getattr(self, name) is not None]
        rule += ["spacing"] if self.spacing != "linear" else []
        if self.file is not None:
            if rule:
                raise ValueError(f"has a file of pixel centres, and {', '.join(rule)} besides: remove one or the other")
            return self
        if self.column is not None:
            raise ValueError("names a column, but no file")
        if self.start is None or self.step is None or (self.count is None) == (self.stop is None):
            given = f"got {', '.join(rule)}" if rule else "got none of them"
            raise ValueError(f"needs start, step and one of count or stop (or file alone); {given}")
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"stop {self.stop!r} is not beyond start {self.start!r}")
        return self


class InstrumentConfig(Section):
    """A spectrograph: pixels, resolution, and wavelengths to leave alone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """Name in file headers."""
    description: str = ""
    """One line for people."""
    arms: Annotated[tuple[WavelengthArm, ...], Field(min_length=1)]
    """Stretches of pixels in order of wavelength; gaps between them are allowed, overlaps are not."""
    resolution: Resolution
    """lambda / FWHM of the line spread function: a number, or a table [[wavelength in A, number], ...], linear between
    its points and constant beyond. Where it jumps, one arm ends and another begins: a pixel has that of its arm."""
    strong_lines: Windows = ()
    """Windows [angstrom, air] that the continuum must not use; `paper` (the authors' list), or the path of a list."""
    tellurics: Windows = ()
    """Windows [angstrom, air] set to zero for the network (augmentation viii); `bands`, or the path of a list."""
    margin_kms: Annotated[float, Field(ge=0, le=5000)] = 0.0
    """Templates must reach this much further [km/s] than augment.vrad_max and vsini_max ask: room to raise these."""


class AugmentConfig(Section):
    """Realistic spectra from templates: `train.zarr`, `valid.zarr`, `test.zarr` (stage `augment`)."""

    n_train: Annotated[int, Field(ge=1)] = 90_000
    """Spectra to train on."""
    n_valid: Annotated[int, Field(ge=1)] = 10_000
    """Spectra to validate on, of templates not trained on."""
    n_test: Annotated[int, Field(ge=1)] = 10_000
    """Spectra to test on, of templates neither trained nor validated on."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the templates held out for the test."""
    valid_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the remaining templates held out for validation."""
    between_nodes: Literal["none", "linear"] = "none"
    """Train spectra of templates as computed, or weighted sums of neighbouring ones, with labels to match.

    Consider it where a label has two or three values only, with steps of at most 250 K, 0.5, 0.25 and 0.2 dex: networks
    interpolate between more values better than straight lines do. docs/kernels.md has what was measured.
    """
    between_nodes_reach: Annotated[float, Field(ge=1, le=100)] = 2.5
    """Templates further apart than so many steps of the grid, in any label, are not mixed."""
    vsini_max: Annotated[float, Field(ge=0, le=500)] = 50.0
    """v sin i is uniform in 0 to this [km/s]."""
    vrad_max: Annotated[float, Field(ge=0, le=2000)] = 150.0
    """The radial velocity is uniform between minus and plus this [km/s]."""
    noise_max: Annotated[float, Field(ge=0, lt=1)] = 0.07
    """The Gaussian noise of a pixel is uniform in 0 to this, as a fraction of the spectrum's median flux."""
    noise_max_train: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The same for the spectra to train and to validate on; by default `noise_max`. With 0 these have no noise, and
    `test.zarr` is what it is otherwise."""
    zero_fraction_max: Annotated[float, Field(ge=0, lt=1)] = 0.10
    """At most this share of pixels is set to zero, afresh every epoch (augmentation vii)."""
    continuum: Literal["clip", "smooth", "none"] = "clip"
    """How the continuum is removed: `clip`, asymmetric sigma clipping (appendix A of the paper); `smooth`, division by
    a Gaussian-weighted running mean (Ho et al. 2017); `none`, not at all: spectra are divided by their median."""
    continuum_segment: Annotated[float, Field(gt=0)] = 10.0
    """Width of a continuum segment [angstrom]."""
    continuum_clip: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.5, 2.0)
    """Pixels more than these many standard deviations below and above the median are rejected."""
    continuum_knot_spacing: Annotated[float, Field(gt=0)] = 30.0
    """Distance of the knots of the spline through the segments' levels [angstrom]."""
    continuum_width: Annotated[float, Field(ge=1)] = 50.0
    """Standard deviation of the Gaussian of `continuum: smooth` [angstrom], as L in the program of Ho et al. (2017)."""
    dtype: Literal["float16", "float32"] = "float16"
    """How fluxes are stored."""
    shard_rows: Annotated[int, Field(ge=1, le=16_384)] = 512
    """Spectra in one shard file, the unit of work and of resuming."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Worker processes, one core each; by default as many as the job has cores (with `scheduler: slurm`, as one job:
    `cluster.cpus_per_task`). A scheduler that runs already and `mpi` bring their own."""
    scheduler: Annotated[str, AfterValidator(_scheduler)] = "local"
    """Where workers are: `local` (processes on this machine), `slurm` (jobs that are submitted as `cluster` says),
    `mpi` (the ranks of mpiexec or srun), or a Dask scheduler that runs already: its address (tcp://host:port,
    tls://...) or the file that it wrote (a path that ends in .json)."""

    def noise_of(self, split: str) -> float:
        """Return the largest noise of the spectra of a store, as a fraction of their median flux."""
        if split in {"train", "valid"} and self.noise_max_train is not None:
            return self.noise_max_train
        return self.noise_max
